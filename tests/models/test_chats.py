"""Chats: what the model's own chat template makes of messages, beside plain transformers."""

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import AutoTokenizer, GPT2Config, GPT2TokenizerFast
from transformers.models.auto import AutoModelForCausalLM

from circuitcheck import Model, PromptError, PromptPairs, contrast, load
from circuitcheck.bundled import PATH
from tests.conftest import each, shared_model

_TURNS = "{% for m in messages %}|{{ m['role'][0] }}| {{ m['content'] }}\n{% endfor %}"
_ANSWER = "{% if add_generation_prompt %}|a|{% endif %}"
_ADDED = "{% if messages[0]['role'] != 'system' %}|s| The dog was old.\n{% endif %}"
PLAIN = _TURNS + _ANSWER
WITH_BOS = "{{ bos_token }}" + _ADDED + PLAIN
TRIMMED = PLAIN.replace("m['content']", "m['content'] | trim")
FRUIT = {"fruit": contrast(clean=["apple", "orange"], corrupt=["lemon", "banana"]), "answer": " an", "foil": " a"}
ASK: dict[str, str] = {"role": "user", "content": "I climbed up the {fruit} tree and"}
ANSWERED = [ASK, {"role": "assistant", "content": "I picked"}]
SYSTEM = [{"role": "system", "content": "The cat was old."}, ASK]


def with_template(folder: Path, source: Path, template: str | None) -> Path:
    """A copy of a model's folder in which the tokenizer has a chat template."""
    shutil.copytree(source, folder)
    tokenizer = AutoTokenizer.from_pretrained(folder)
    tokenizer.chat_template = template
    tokenizer.save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def chatting(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Model]:
    """The bundled model with a chat template."""
    known: dict[str, Model] = {}

    def of(template: str) -> Model:
        if template not in known:
            known[template] = load(
                with_template(tmp_path_factory.mktemp("chat") / "model", PATH, template), weights="raw"
            )
        return known[template]

    return of


def of_transformers(model: Model, messages: list[dict[str, str]]) -> tuple[int, ...]:
    """The tokens of a chat as transformers makes them."""
    how = {"continue_final_message" if messages[-1]["role"] == "assistant" else "add_generation_prompt": True}
    tokenizer = AutoTokenizer.from_pretrained(model.bridge.tokenizer.name_or_path)
    return tuple(tokenizer.apply_chat_template(messages, tokenize=True, return_dict=False, **how))


def gpt2(folder: Path) -> Path:
    torch.manual_seed(0)
    config = GPT2Config(n_embd=16, n_layer=1, n_head=2, n_positions=128)
    AutoModelForCausalLM.from_config(config).save_pretrained(folder)
    GPT2TokenizerFast.from_pretrained(str(shared_model("gpt2_bpe"))).save_pretrained(folder)
    return folder


FAMILIES: dict[str, Callable[[Path], Path]] = {
    "byte-level BPE": gpt2,
    "SentencePiece": lambda _: shared_model("stories260K"),
    "BPE with words of its own": lambda _: PATH,
}


@pytest.mark.parametrize("family", each(list(FAMILIES), [*FAMILIES][1:]))
def test_a_chat_is_what_transformers_makes_of_it(tmp_path: Path, family: str) -> None:
    """Tokens and the gap, by plain transformers with its own hand at the template."""
    model = load(with_template(tmp_path / "chat", FAMILIES[family](tmp_path / "plain"), WITH_BOS), weights="raw")
    plain = AutoModelForCausalLM.from_pretrained(tmp_path / "chat").eval()
    for chat in ([ASK], ANSWERED, SYSTEM):
        rows = [
            {side: [m | {"content": m["content"].format(fruit=fruit)} for m in chat] for side, fruit in couple.items()}
            for couple in ({"clean": "he", "corrupt": "she"}, {"clean": "was", "corrupt": "she"})
        ]
        run = model.on(PromptPairs.from_rows([{**row, "answer": " a", "foil": " I"} for row in rows]))
        pairs = run._setup.sample.pairs
        gaps = []
        for pair in pairs:
            logits = []
            for side, tokens in (("clean", pair.clean), ("corrupt", pair.corrupt)):
                assert tokens == of_transformers(model, getattr(pair.pair, side).messages)
                with torch.no_grad():
                    logits.append(plain(torch.tensor([tokens])).logits[0, -1].double())
            moved = logits[0] - logits[1]
            gaps.append(float(moved[pair.answer[0]] - moved[pair.foil[0]]))
        assert run.gap.measure().per_pair == pytest.approx(gaps, abs=1e-4)


def test_slots_keep_their_places_through_the_template(chatting: Callable[[str], Model]) -> None:
    run = chatting(WITH_BOS).on(PromptPairs(ANSWERED, **FRUIT))
    [pair, *_] = run._setup.sample.pairs
    [place] = [n for n, segment in enumerate(pair.segments) if segment >= 0 and pair.slots[segment] == "fruit"]
    assert run._setup.model.bridge.tokenizer.decode([pair.clean[place]]).strip() in ("apple", "orange")
    assert pair.segments[0] == -1
    there, counted = (
        run.patch(f"L0.RESID_PRE{at}").raw.measure().estimate for at in ("@{fruit}", f"@{place - pair.length}")
    )
    assert there == counted == pytest.approx(run.gap.measure().estimate, abs=1e-4)


def test_a_message_of_the_assistant_at_the_end_is_gone_on_from(chatting: Callable[[str], Model]) -> None:
    model = chatting(PLAIN)
    texts = [model.on(PromptPairs(chat, **FRUIT))._setup.sample.pairs[0].pair.clean.text for chat in (ANSWERED, [ASK])]
    assert texts[0].endswith("\n|a| I picked")
    assert texts[1].endswith(" tree and\n|a|")


@pytest.mark.parametrize(
    ("template", "begins"), [(PLAIN, False), (WITH_BOS, True), ("{{ bos_token * 2 }}" + PLAIN, True)]
)
def test_a_chat_begins_as_its_template_says(chatting: Callable[[str], Model], template: str, begins: bool) -> None:
    """Bundled models put BOS in front of text; of a chat the template says whether it is there, and how often."""
    model = chatting(template)
    assert model.bos == 0
    [pair, *_] = model.on(PromptPairs([ASK], **FRUIT))._setup.sample.pairs
    assert (pair.clean[0] == 0) == begins
    assert pair.clean == of_transformers(model, pair.pair.clean.messages)


def test_what_is_read_in_the_middle_of_a_chat_is_cut_there(chatting: Callable[[str], Model]) -> None:
    run = chatting(PLAIN).on(PromptPairs([ASK], **FRUIT), at="@{fruit}")
    assert {run._setup.model.bridge.tokenizer.decode([pair.clean[-1]]).strip() for pair in run._setup.sample.pairs} == {
        "apple",
        "orange",
    }
    assert all(pair.clean[0] != 0 for pair in run._setup.sample.pairs)


def test_a_system_prompt_that_the_template_adds_is_shown(chatting: Callable[[str], Model]) -> None:
    shown = chatting(WITH_BOS).on(PromptPairs([ASK], **FRUIT))._setup.tokenised(1).splitlines()
    assert (
        shown[1].strip()
        == f"chat  {'<|endoftext|>|s| The dog was old.' + chr(10) + '|u| I climbed up the {fruit} tree and' + chr(10) + '|a|'!r}"
    )
    assert shown[2].strip() == "system  the chat template adds 'The dog was old.'"
    for template, chat in ((WITH_BOS, SYSTEM), (PLAIN, [ASK]), (PLAIN.replace("|s|", ""), [ASK])):
        assert "  system" not in chatting(template).on(PromptPairs(chat, **FRUIT))._setup.tokenised(1)


def test_the_clock_of_a_template_stands_still(chatting: Callable[[str], Model]) -> None:
    model = chatting("{% if strftime_now is defined %}{{ strftime_now('%d %b %Y') }}{% endif %} " + PLAIN)
    assert model.on(PromptPairs([ASK], **FRUIT))._setup.sample.pairs[0].pair.clean.text.startswith("26 Jul 2024 |u|")


def test_chats_may_be_rows_and_counterexamples_are_given_as_such(chatting: Callable[[str], Model]) -> None:
    model = chatting(PLAIN)
    described = model.on(PromptPairs([ASK], **FRUIT))
    rows = PromptPairs.from_rows([pair.as_row() for pair in described._setup.sample.pairs])
    assert [pair.clean for pair in model.on(rows)._setup.sample.pairs] != []
    assert {pair.clean for pair in model.on(rows)._setup.sample.pairs} == {
        pair.clean for pair in described._setup.sample.pairs
    }
    assert rows.rows[0].clean.written == described._setup.sample.pairs[0].as_row()["clean"]


def test_prefixes_and_noise_go_into_messages(chatting: Callable[[str], Model]) -> None:
    pairs = PromptPairs(SYSTEM, **FRUIT)
    prefixed = chatting(PLAIN).on(pairs.with_prefix(["They sold the boat."]))._setup.sample.pairs[0].pair.clean.text
    assert "|s| The cat was old.\n|u| They sold the boat. I climbed" in prefixed
    noisy = {pair.pair.clean.text for pair in chatting(PLAIN).on(pairs.with_typos(["drop"]))._setup.sample.pairs}
    assert any("The ct was" in text for text in noisy)
    assert any("limbed" in text for text in noisy)
    assert repr(pairs) == f"PromptPairs({SYSTEM!r})"
    assert pairs.templates == (SYSTEM,)


REFUSED: dict[str, tuple[str | None, Any, str]] = {
    "no template": (None, [ASK], "this model's tokenizer has no chat template: write the prompt as text"),
    "white space is cut off": (TRIMMED, [ASK | {"content": "the {fruit} "}], "does not write messages as they are"),
    "contents are changed": (PLAIN.replace("m['content']", "m['content'] | upper"), [ASK], "leaves out the content of the user's message"),
    "contents are changed in part": (
        PLAIN.replace("m['content']", "m['content'].split('up')[-1]"),
        [ASK],
        "does not write messages as they are",
    ),
    "a message is left out": (
        PLAIN.replace("in messages", "in messages if m['role'] != 'system'"),
        SYSTEM,
        r"leaves out the content of the system's message \(roles: system, user\)",
    ),
    "a message is written twice": (PLAIN.replace("m['content']", "m['content'] * 2"), [ASK], "writes 2 times the content of the user's"),
    "the template refuses": ("{{ raise_exception('roles must alternate') }}", [ASK, ASK], "does not take these messages .*roles must alternate"),
    "the sandbox refuses": ("{{ ''.__class__.__mro__ }}" + PLAIN, [ASK], "does not take these messages .*SecurityError"),
    "the sandbox lets nothing be called": ("{{ messages.append(1) }}" + PLAIN, [ASK], "does not take these messages .*SecurityError"),
    "no Jinja": ("{% for %}", [ASK], "does not take these messages .*TemplateSyntaxError"),
}  # fmt: skip


@pytest.mark.parametrize("what", REFUSED)
def test_a_chat_that_the_template_does_not_write_as_it_is_is_refused(
    chatting: Callable[[str], Model], bundled: Model, what: str
) -> None:
    template, chat, said = REFUSED[what]
    model = bundled if template is None else chatting(template)
    with pytest.raises(PromptError, match=said):
        model.on(PromptPairs(chat, **FRUIT))._setup.tokenised(4)


def test_trimmed_contents_that_have_nothing_to_trim_are_as_they_are(chatting: Callable[[str], Model]) -> None:
    assert chatting(TRIMMED).on(PromptPairs([ASK], **FRUIT))._setup.sample.pairs


@pytest.mark.parametrize(
    ("chat", "said"),
    [
        ([], "a template is text or a list of messages"),
        (5, "a template is text or a list of messages"),
        ([{"role": "user"}], "is no message: a message is a mapping with a role and a content"),
        ([ASK, "text"], "'text' is no message"),
        ([ASK | {"name": "Ann"}], "is no message"),
        ([{"role": "user", "content": None}], "its role and its content are text"),
        ([{"role": "user", "content": ""}], "a chat whose messages are all empty"),
        ([{"role": "user", "content": "a\x1e{fruit}"}], "control character"),
        ([{"role": "user", "content": "{nut}"}], "uses the slot {nut}, which is not given"),
    ],
)
def test_what_is_no_chat_is_refused(chat: Any, said: str) -> None:
    with pytest.raises(PromptError, match=said):
        PromptPairs(chat, **FRUIT)
