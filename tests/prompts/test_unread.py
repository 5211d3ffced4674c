"""What was not written is not read: words that a vocabulary lacks, characters that a tokenizer drops, and what is no text."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers
from transformers import PreTrainedTokenizerFast

from circuitcheck import Model, PromptError, PromptPairs, contrast
from circuitcheck.prompts.aligned_pairs import AlignedPair
from circuitcheck.prompts.alignment import Aligner, Rejections
from circuitcheck.prompts.populations import Population
from tests.linear_words import linear_words
from tests.tokenizers_for_tests import UNKNOWN, byte_level

KNOWN = ["I", "saw", "the", "apple", "lemon", "tree", "and", "picked", "an", "a", "plum"]
NUMBERED = {word: number for number, word in enumerate([UNKNOWN, *KNOWN])}
LETTERS = sorted(set("".join(KNOWN)))


def tokenizer(model: Any, **parts: Any) -> PreTrainedTokenizerFast:
    backend = Tokenizer(model)
    for name, part in parts.items():
        setattr(backend, name, part)
    return PreTrainedTokenizerFast(tokenizer_object=backend)


def words(**parts: Any) -> PreTrainedTokenizerFast:
    parts.setdefault("pre_tokenizer", pre_tokenizers.Whitespace())
    return tokenizer(models.WordLevel(NUMBERED, unk_token=UNKNOWN), **parts)


def letters(*more: str, **settings: Any) -> PreTrainedTokenizerFast:
    return tokenizer(models.BPE({letter: place for place, letter in enumerate([*more, " ", *LETTERS])}, [], **settings))


PIECES: list[tuple[str, float]] = [(UNKNOWN, -9.0), *((f"▁{word}", -2.0) for word in KNOWN)]
PIECES += [(letter, -5.0) for letter in LETTERS]
# A kind of tokenizer, what it cannot read, and why.
UNREAD: dict[str, tuple[PreTrainedTokenizerFast, str, str, str]] = {
    "a word": (words(), "medlar", "'medlar'", "not in the vocabulary"),
    "an emoji": (words(), "🙂", "'🙂'", "not in the vocabulary"),
    "a word, in pieces": (
        tokenizer(
            models.WordPiece(NUMBERED | {"##s": 90}, unk_token=UNKNOWN), pre_tokenizer=pre_tokenizers.Whitespace()
        ),
        "medlar",
        "'medlar'",
        "not in the vocabulary",
    ),
    "a letter": (letters(UNKNOWN, unk_token=UNKNOWN), "quince", "'q'", "not in the vocabulary"),
    "a letter, by likelihood": (
        tokenizer(models.Unigram(PIECES, unk_id=0), pre_tokenizer=pre_tokenizers.Metaspace()),
        "xa",
        "'x'",
        "not in the vocabulary",
    ),
    "a letter without a token for it": (letters(), "öl", "'ö'", "left out by the tokenizer"),
    "an emoji that vanishes": (
        words(normalizer=normalizers.Replace("🙂", "")),
        "🙂",
        "'🙂'",
        "left out by the tokenizer",
    ),
    "a letter that vanishes": (
        words(normalizer=normalizers.Replace("é", "")),
        "apéple",
        "'é'",
        "left out by the tokenizer",
    ),
    "a mark that vanishes": (
        words(
            pre_tokenizer=pre_tokenizers.Sequence(
                [pre_tokenizers.Punctuation("removed"), pre_tokenizers.Whitespace()]  # type: ignore[list-item]
            )
        ),
        "apple!",
        "'!'",
        "left out by the tokenizer",
    ),
    "a word that vanishes": (words(normalizer=normalizers.Replace("plum", "")), "plum", "'plum'", "left out"),
    "a word where nothing stands for unknown ones": (
        tokenizer(
            models.WordLevel({word: place for place, word in enumerate(KNOWN)}),
            pre_tokenizer=pre_tokenizers.Whitespace(),
        ),
        "medlar",
        "medlar",
        "makes the tokenizer fail",
    ),
}


def align(pairs: PromptPairs, tokenizer: Any, vocabulary: int = 1000) -> tuple[list[AlignedPair], str]:
    outcomes = Aligner(tokenizer, None, vocabulary).align(Population(pairs.description, seed=0).draw())
    return [one for one in outcomes if isinstance(one, AlignedPair)], str(Rejections.of(outcomes))


FRUIT = {"x": contrast(clean=["apple"], corrupt=["lemon"])}


@pytest.mark.parametrize("kind", UNREAD)
def test_a_prompt_that_is_not_read_as_written_is_rejected_with_the_word(kind: str) -> None:
    reads, unread, named, why = UNREAD[kind]
    row = {"clean": "I saw the apple tree and", "corrupt": "I saw the lemon tree and", "answer": " a"}
    described = {
        "filler": PromptPairs("I saw the {x} tree and", x=contrast(clean=["apple"], corrupt=[unread]), answer=" a"),
        "text between slots": PromptPairs(f"I saw {unread} {{x}} tree and", answer=" a", **FRUIT),
        "prefix": PromptPairs("I saw the {x} tree and", answer=" a", **FRUIT).with_prefix([f"I saw {unread}"]),
        "row": PromptPairs.from_rows([row | {"clean": f"I saw {unread} and"}]),
    }
    for place, pairs in described.items():
        aligned, rejected = align(pairs, reads)
        assert not aligned, place
        assert named in rejected, place
        assert "1 pair with text that " in rejected, place
        assert why in rejected, place


@pytest.mark.parametrize("kind", UNREAD)
@pytest.mark.parametrize("what", ["answer", "foil"])
def test_an_answer_or_foil_that_is_not_read_as_written_is_rejected_with_the_word(kind: str, what: str) -> None:
    reads, unread, named, why = UNREAD[kind]
    one = "e" if " " in reads.get_vocab() else " an"
    pairs = PromptPairs("I saw the {x} tree and", **{"answer": one, "foil": one, what: f" {unread}"}, **FRUIT)
    aligned, rejected = align(pairs, reads)
    assert not aligned
    assert "1 pair whose answer or foil has text that " in rejected
    assert named.strip("'") in rejected
    assert why in rejected


@pytest.mark.parametrize("kind", UNREAD)
def test_the_tokenizer_reads_all_else(kind: str) -> None:
    """So that rejections above are of that word, and not of the tokenizer's own ways."""
    reads, *_ = UNREAD[kind]
    one = "e" if " " in reads.get_vocab() else " an"
    aligned, rejected = align(PromptPairs("I saw the {x} tree and", answer=one, **FRUIT), reads)
    assert (len(aligned), rejected) == (1, "")


def test_typographical_errors_that_make_unknown_words_are_rejected_by_name() -> None:
    pairs = PromptPairs("I saw the {x} tree and", answer=" an", **FRUIT).with_typos(["drop"])
    aligned, rejected = align(pairs, words())
    assert {pair.pair.fillers[-1][1] for pair in aligned} == {"", "and -> an"}
    assert " pairs with text that is not in the vocabulary, e.g. '" in rejected


def test_what_is_written_out_is_read() -> None:
    """The unknown token itself, and bytes that a vocabulary of bytes always has."""
    literal = words()
    literal.add_special_tokens({"unk_token": UNKNOWN})
    assert align(PromptPairs("I saw <unk> {x}", answer=" an", **FRUIT), literal)[1] == ""
    gpt = byte_level(" an")
    for text in ("🙂", "日本", "é", "한", "한", "e\u0301", "a\u200db", "\t\n"):
        assert (
            align(PromptPairs(f"I saw {text} {{x}}", answer="a", x=contrast(clean=["b"], corrupt=["c"])), gpt)[1] == ""
        )


@pytest.mark.parametrize("normalizer", [normalizers.NFC(), normalizers.NFKC(), normalizers.Lowercase()])
def test_another_spelling_of_the_same_is_how_a_tokenizer_reads(normalizer: Any) -> None:
    gpt = byte_level(" an")
    gpt.backend_tokenizer.normalizer = normalizer
    for text in ("Ünder", "한국", "e\u0301", "ﬁne ½"):
        pairs = PromptPairs(f"I saw {text} {{x}}", answer="a", x=contrast(clean=["b"], corrupt=["c"]))
        assert align(pairs, gpt)[1] == "", text


@pytest.mark.parametrize(
    ("normalizer", "sides"),
    [
        (normalizers.Lowercase(), ("Apple", "apple")),
        (normalizers.Sequence([normalizers.NFD(), normalizers.StripAccents()]), ("applé", "apple")),
        (normalizers.NFKC(), ("\uff41pple", "apple")),
    ],
)
def test_two_spellings_that_become_the_same_tokens_are_no_contrast(normalizer: Any, sides: tuple[str, str]) -> None:
    reads = words(normalizer=normalizer)
    pairs = PromptPairs("saw the {x} tree", x=contrast(clean=[sides[0]], corrupt=[sides[1]]), answer=" an")
    assert align(pairs, reads)[1].startswith("1 pair whose prompts differ as text, but not as tokens, e.g. 'saw")


def test_a_token_that_the_model_has_no_embedding_for_is_not_in_its_vocabulary() -> None:
    pairs = PromptPairs("I saw the {x} tree", answer=" an", **FRUIT)
    assert "not in the vocabulary, e.g. 'tree' in 'I saw" in align(pairs, words(), vocabulary=NUMBERED["tree"])[1]
    shorter = PromptPairs("I saw the {x}", answer=" an", **FRUIT)
    assert (
        "answer or foil has text that is not in the vocabulary, e.g. ' an'"
        in align(shorter, words(), NUMBERED["an"])[1]
    )


def test_unknown_fillers_are_rejected_and_counted_beside_those_that_are_known(claims: Any, tmp_path: Path) -> None:
    """Through the public face: the bundled tokenizer is one of bytes, so that a folder of its own is asked."""
    from tests.models.test_bos import LLAMA, folder

    path = folder(tmp_path / "words", LLAMA, words())
    result = claims(
        """
@pytest.mark.circuit(claim=False)
def test_it(model):
    pairs = PromptPairs("I saw the {x} tree", x=contrast(clean=["apple", "plum"], corrupt=["lemon", "medlar"]), answer=" an", foil=" a")
    measured = model.on(pairs).gap.measure()
    assert (measured.n, measured.rejected) == (2, 2)
    model.on(pairs).show()

def test_answer(model):
    pairs = PromptPairs("I saw the {x} tree", x=contrast(clean=["apple", "plum"], corrupt=["lemon"]), answer=" quince", foil=" a")
    assert model.on(pairs).gap > 0
""",
        "--circuit-weights=raw",
        "-s",
        model=path,
    )
    result.assert_outcomes(passed=1, failed=1)
    result.stdout.fnmatch_lines(
        [
            "rejected  2 pairs with text that is not in the vocabulary, e.g. 'medlar' in 'I saw the medlar tree'",
            "*2 pairs whose answer or foil has text that is not in the vocabulary, e.g. ' quince'",
        ]
    )


@pytest.fixture(scope="module")
def unknowing() -> Model:
    """A model that knows "see", "and", "now", "yes", "no" and "word"."""
    return linear_words({"word": np.zeros(16)}, [])


ASKED: dict[str, Callable[[Model, Any], object]] = {
    "congruence": lambda model, token: model.congruence("L0.N0", token),
    "activation": lambda model, token: model.activation("L0.N0", token, on=["see and"]),
}


@pytest.mark.parametrize("ask", ASKED)
@pytest.mark.parametrize("token", ["medlar", " medlar", "🙂", "see🙂"])
def test_a_token_that_is_not_in_the_vocabulary_is_an_error_with_the_word(
    unknowing: Model, ask: str, token: str
) -> None:
    with pytest.raises(
        PromptError, match=f"{token.strip().removeprefix('see')}.* is not (in the vocabulary|one token)"
    ):
        ASKED[ask](unknowing, token)


def test_texts_that_are_not_read_as_written_are_left_out_and_told(unknowing: Model, tmp_path: Path) -> None:
    known = ["see and now", "see now and yes"]
    expected = unknowing.activation("L0.N0", predicts="yes", on=known)._texts[0]
    windows, told = unknowing.activation("L0.N0", predicts="yes", on=[*known, "see medlar"])._texts
    assert windows == expected
    assert (
        told
        == "2 of 3 texts (left out: 1 text with something that is not in the vocabulary, e.g. 'medlar' in 'see medlar')"
    )
    novel = tmp_path / "novel.txt"
    novel.write_text("see medlar and\n\nsee quince\n\nsee now", encoding="utf-8")
    with pytest.raises(
        PromptError, match=r"most of 3 paragraphs of novel.txt cannot be used:\n.*'medlar' in 'see medlar"
    ):
        unknowing.activation("L0.N0", predicts="yes", on=str(novel)).auc.measure()


# What is no text and no token id

NO_TEXT = [
    True,
    False,
    None,
    1.0,
    b" an",
    np.bool_(True),
    [" an", True],
    [[" an"]],
    [None],
    {" an": 1},
    torch.tensor(True),
]
NO_IDS = [5, np.int64(5), [5], -1, 10**6]


def ids(values: list[Any]) -> list[str]:
    return [f"{type(value).__name__} {value!r}" for value in values]


@pytest.mark.parametrize("given", NO_TEXT, ids=ids(NO_TEXT))
@pytest.mark.parametrize("what", ["answer", "foil"])
def test_what_is_no_text_is_refused_as_an_answer_or_foil_with_what_was_given(given: Any, what: str) -> None:
    def described(value: Any) -> PromptPairs:
        return PromptPairs("I climbed the {x}", **{"answer": " an", "foil": " a", what: value}, **FRUIT)

    said = repr(given[-1] if isinstance(given, list) else given)
    for make in (
        lambda: described(given),
        lambda: list(Population(described(lambda _: given).description, seed=0).draw()),
    ):
        with pytest.raises(PromptError) as caught:
            make()
        assert said in str(caught.value)
    if given is None and what == "foil":
        return  # in a row it is no foil
    row = {"clean": "I saw", "corrupt": "I ate", "answer": " an", "foil": " a", what: given}
    with pytest.raises(PromptError, match="row 1 holds neither text nor token ids"):
        PromptPairs.from_rows([row])


@pytest.mark.parametrize("given", NO_IDS, ids=ids(NO_IDS))
def test_a_token_id_is_no_answer_but_in_a_row(given: Any) -> None:
    for answer in (given, lambda _: given):
        with pytest.raises(PromptError, match=r"none of them \(token ids go with PromptPairs.from_rows\)"):
            list(Population(PromptPairs("I climbed the {x}", answer=answer, **FRUIT).description, seed=0).draw())


@pytest.mark.parametrize("given", NO_IDS, ids=ids(NO_IDS))
def test_integers_of_any_kind_are_token_ids_in_a_row_if_the_model_has_them(bundled: Model, given: Any) -> None:
    run = bundled.on(
        PromptPairs.from_rows([{"clean": [np.int32(3), 4], "corrupt": [3, 5], "answer": given, "foil": 7}])
    )
    if given in (-1, 10**6):
        with pytest.raises(PromptError, match=f"answer or foil {given} is outside the model's vocabulary of 850"):
            run.gap.measure()
        return
    assert (run._setup.sample.pairs[0].clean, run._setup.sample.pairs[0].answer) == ((3, 4), (5,))


NO_PROMPTS = [True, 5, None, 1.0, b"I saw", {3: 4}, {3, 4}, [3, True], [3, 1.0], [3, None], [[3], 4], [3, "a"]]
NO_PROMPTS += [np.array([True, False]), torch.tensor([True]), np.array([1.0])]


@pytest.mark.parametrize("given", NO_PROMPTS, ids=ids(NO_PROMPTS))
@pytest.mark.parametrize("side", ["clean", "corrupt"])
def test_what_is_neither_text_nor_token_ids_is_no_prompt(given: Any, side: str) -> None:
    if given is None and side == "corrupt":
        return  # in a row it is no corrupted prompt
    with pytest.raises(PromptError, match="row 1 holds neither text nor token ids"):
        PromptPairs.from_rows([{"clean": [3, 5], "corrupt": [3, 6], "answer": 7, side: given}])


@pytest.mark.parametrize("ask", ASKED)
def test_what_is_neither_text_nor_a_token_id_is_no_token(bundled: Model, ask: str) -> None:
    for given in (True, False, None, 1.0, b" an", np.bool_(True), torch.tensor(True), [" an"], -1, 850, ""):
        with pytest.raises(PromptError) as caught:
            ASKED[ask](bundled, given)
        assert repr(given) in str(caught.value)
    for given in (5, np.int64(5), torch.tensor(5)):
        assert ASKED[ask](bundled, given)


@pytest.mark.parametrize("on", [True, 5, None, b"I saw", [True], ["I saw", None], [b"I saw"], [5]])
def test_what_is_no_text_is_no_text_to_look_at(bundled: Model, on: Any) -> None:
    with pytest.raises(PromptError, match="on= is PromptPairs, a text file's path or a list of texts, not"):
        bundled.activation("L1.N8", predicts=" a", on=on).auc.measure()


NO_FILLERS = [True, None, b"apple", float("nan"), ["apple"], np.bool_(True)]


@pytest.mark.parametrize("filler", NO_FILLERS, ids=ids(NO_FILLERS))
def test_what_is_neither_text_nor_a_number_is_no_filler(filler: Any) -> None:
    makes: list[Callable[[], object]] = [
        lambda: PromptPairs("{x}", x=["apple", filler], answer=" an"),
        lambda: contrast(clean=["apple"], corrupt=[filler]),
        lambda: contrast.pairs([("apple", filler)]),
    ]
    for make in makes:
        with pytest.raises(PromptError, match="fillers that are text or numbers, not "):
            make()


def test_numbers_are_fillers() -> None:
    pairs = PromptPairs("{x}", x=[5, np.int64(6), 7.5, "8"], answer=" an")
    assert {pair.clean.text for pair in Population(pairs.description, seed=0).draw()} == {"5", "6", "7.5", "8"}
