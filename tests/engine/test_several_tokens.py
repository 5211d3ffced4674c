"""Answers of several tokens are what plain transformers gives for prompt + answer, on three families of tokenizers."""

from typing import Any

import numpy as np
import pytest
import torch

from circuitcheck import Model, PromptPairs, contrast
from circuitcheck.errors import MethodError
from circuitcheck.prompts.aligned_pairs import AlignedPair
from circuitcheck.prompts.pairs import Side
from tests.conftest import each
from tests.several_tokens import Plain, Written, family, members_of

CLOSE = 1e-4
Both = tuple[Model, Plain]


@pytest.fixture(scope="module", params=each(["words", "byte-level BPE", "metaspace"], usual=["words"]))
def both(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Both:
    return family(request.param, tmp_path_factory.mktemp("model"))


def pairs(answer: Any = " an apple tree", foil: Any = " a lemon", **given: Any) -> PromptPairs:
    fruit = contrast.pairs([("apple", "lemon"), ("orange", "fig")])
    return PromptPairs(
        "I ate the {fruit} and then the {other} and I picked",
        fruit=fruit,
        other=["apple", "lemon"],
        answer=answer,
        foil=foil,
        **given,
    )


SETS: dict[str, Any] = {
    "one and one": {},
    "sets that begin alike": {
        "answer": [" an apple", " an orange", " the fig"],
        "foil": [" a lemon", " an fig", " red"],
    },
    "an answer of one token": {"answer": " an"},
    "some pairs of one token": {"answer": lambda c: " an apple" if c["other"] == "apple" else " an", "foil": " a"},
}


@pytest.mark.parametrize("given", SETS.values(), ids=SETS)
def test_the_gap_is_the_difference_of_summed_log_probabilities(both: Both, given: dict[str, Any]) -> None:
    model, plain = both
    measured = model.on(pairs(**given)).gap.measure()
    wanted = [plain.difference(pair, pair.clean) - plain.difference(pair, pair.corrupt) for pair in measured.pairs]
    assert measured.unit == "nats"
    assert measured.per_pair == pytest.approx(wanted, abs=CLOSE)


def at(pair: AlignedPair, where: str, own: int) -> list[int]:
    """The positions of an address, with so many of an answer's own tokens run after the prompt."""
    length = pair.length
    return {
        "": list(range(length + own)),
        "@end": [length - 1],
        "@-3": [length - 3],
        "@answer": list(range(length, length + own)),
    }[where]


def source(plain: Plain, pair: AlignedPair, tokens: tuple[int, ...], where: str) -> Written:
    """What the second MLP writes in another run that goes on with the same tokens."""

    def written(own: tuple[int, ...]) -> tuple[int, dict[int, torch.Tensor]]:
        there = plain.mlp([*tokens, *own], 1)
        return 1, {position: there[position] for position in at(pair, where, len(own))}

    return written


@pytest.mark.parametrize("given", SETS.values(), ids=SETS)
@pytest.mark.parametrize("where", ["", "@end", "@-3", "@answer"])
@pytest.mark.parametrize("into", ["corrupt", "clean"])
def test_a_patch_stays_in_place_while_the_answer_is_run(
    both: Both, given: dict[str, Any], where: str, into: Side
) -> None:
    model, plain = both
    measured = model.on(pairs(**given)).patch(f"L1.MLP{where}", into=into).raw.measure()
    wanted = []
    for pair in measured.pairs:
        here, there = (pair.corrupt, pair.clean) if into == "corrupt" else (pair.clean, pair.corrupt)
        shift = plain.difference(pair, here, source(plain, pair, there, where)) - plain.difference(pair, here)
        wanted.append(shift if into == "corrupt" else -shift)
    assert measured.per_pair == pytest.approx(wanted, abs=CLOSE)


def mean_by_role(plain: Plain, reference: tuple[AlignedPair, ...]) -> tuple[torch.Tensor, list[torch.Tensor]]:
    """Means of what the second MLP writes: at each token of prompts (which are of one length here), over both sides; and at each token
    of answers, over all answers after both sides; beyond these, of foils."""
    prompts = torch.stack([plain.mlp(tokens, 1) for pair in reference for tokens in (pair.clean, pair.corrupt)])

    def of(sets: str, place: int) -> list[torch.Tensor]:
        return [
            plain.mlp([*tokens, *member[:-1]], 1)[len(tokens) + place]
            for pair in reference
            for tokens in (pair.clean, pair.corrupt)
            for member in members_of(getattr(pair, sets))
            if len(member) - 1 > place
        ]

    own: list[torch.Tensor] = []
    while found := of("answer", len(own)) or of("foil", len(own)):
        own.append(torch.stack(found).mean(0))
    return prompts.mean(0), own


@pytest.mark.parametrize("name", each(SETS, usual=["an answer of one token"]))
@pytest.mark.parametrize("where", each(["", "@answer"], usual=[""]))
def test_a_mean_at_an_answers_token_is_over_reference_answers_token(both: Both, name: str, where: str) -> None:
    model, plain = both
    effect = model.on(pairs(**SETS[name])).ablate(f"L1.MLP{where}", "mean").raw
    shift, reference = effect._estimand.shift_on(effect._estimand.run.sample), effect._estimand.run.sample.pairs
    of_prompts, of_answers = mean_by_role(plain, reference)
    wanted = []
    for pair in reference:

        def written(own: tuple[int, ...], pair: AlignedPair = pair) -> tuple[int, dict[int, torch.Tensor]]:
            values = torch.cat([of_prompts, torch.stack(of_answers)[: len(own)]]) if own else of_prompts
            return 1, {position: values[position] for position in at(pair, where, len(own))}

        wanted.append(plain.difference(pair, pair.clean) - plain.difference(pair, pair.clean, written))
    assert shift == pytest.approx(wanted, abs=CLOSE)


def test_a_resampled_prompt_goes_on_with_the_same_answer(both: Both) -> None:
    model, plain = both
    effect = model.on(pairs(answer=[" an apple tree", " the fig"])).ablate("L1.MLP", "resample").raw
    sample, wanted = effect._estimand.run.sample, []
    donors = effect._estimand.run.sampler.donors(effect._estimand.run.pairs, sample, "both")
    for pair in sample.pairs:
        row, side = donors.source(pair)
        written = source(plain, pair, donors.sample.pairs[row].tokens(side), "")
        wanted.append(plain.difference(pair, pair.clean) - plain.difference(pair, pair.clean, written))
    assert effect._estimand.shift_on(sample) == pytest.approx(wanted, abs=CLOSE)


@pytest.mark.parametrize("name", ["probability", "log_probability", "accuracy"])
def test_other_readouts_of_several_tokens(both: Both, name: Any) -> None:
    model, plain = both
    described = pairs(answer=[" an apple tree", " the fig"])
    effect = model.on(described, readout=name).gap
    wanted = []
    for pair in effect._estimand.run.sample.pairs:
        sides = []
        for prompt in (pair.clean, pair.corrupt):
            answer, foil = (
                np.logaddexp.reduce([plain.log_probability(prompt, one) for one in members_of(side)])
                for side in (pair.answer, pair.foil)
            )
            sides.append({"probability": np.exp(answer), "log_probability": answer, "accuracy": answer > foil}[name])
        wanted.append(float(sides[0]) - float(sides[1]))
    assert effect._estimand.shift_on(effect._estimand.run.sample) == pytest.approx(wanted, abs=CLOSE)


def greedily(plain: Plain, prompt: tuple[int, ...], length: int) -> tuple[int, ...]:
    made: tuple[int, ...] = ()
    for _ in range(length):
        made += (int(plain.logits([*prompt, *made])[-1].argmax()),)
    return made


def test_without_a_foil_an_answer_is_right_where_greedy_decoding_writes_it(both: Both) -> None:
    model, plain = both
    sample = model.on(pairs())._setup.sample.pairs
    written = [greedily(plain, pair.clean, 3) for pair in sample]
    wrong = [(*tokens[:2], tokens[2] - 1 if tokens[2] else 1) for tokens in written]
    for answers, right in ((written, 1.0), (wrong, 0.0)):
        rows = [
            {"clean": list(pair.clean), "corrupt": list(pair.corrupt), "answer": [list(tokens)]}
            for pair, tokens in zip(sample, answers, strict=True)
        ]
        assert model.on(PromptPairs.from_rows(rows)).accuracy.measure().estimate == right


def test_one_token_next_to_several_is_what_it_is_alone(both: Both) -> None:
    model, _ = both
    found: list[dict[Any, float]] = []
    for other, unit in ((" the", "logits"), (" the apple", "nats")):
        run = model.on(pairs(answer=lambda c, other=other: " an" if c["other"] == "lemon" else other, foil=" a"))
        shifts = run.patch("L1.MLP")._estimand.shift_on(run._setup.sample)
        found.append(
            {pair.clean: n for pair, n in zip(run._setup.sample.pairs, shifts, strict=True) if not pair.has_several}
        )
        assert run.gap.unit == unit
    assert found[1]
    assert found[1] == pytest.approx({clean: found[0][clean] for clean in found[1]}, abs=1e-5)


def test_cones_are_run_for_several_tokens_too(both: Both) -> None:
    model, _ = both
    model.on(pairs()).patch("L1.MLP@end").raw.measure()
    assert model._loaded.answers.describe() == "cone"


@pytest.fixture
def whole(raw: Model) -> Model:
    return raw


def test_paths_and_edges_carry_what_is_written_at_answers_tokens(whole: Model) -> None:
    """A last MLP's path to the logits is all of it; and a circuit of all there is, edges and all, keeps everything."""
    run = whole.on(pairs())
    direct, path = (run.patch(f"L2.MLP{to}").raw.measure().per_pair for to in ("", " -> LOGITS"))
    assert path == pytest.approx(direct, abs=CLOSE)
    kept = run.keep("L1.MLP | L1.MLP -> L2.MLP", "zero", within="L1.MLP | L2.MLP")
    assert kept._estimand.shift_on(run._setup.sample) == pytest.approx(
        kept._estimand.base_on(run._setup.sample), abs=CLOSE
    )


REFUSED = {
    "rank": lambda model: model.on(pairs(), readout="rank").gap,
    "kl": lambda model: model.on(pairs(), readout="kl").patch("L1.MLP"),
    "first": lambda model: model.on(pairs(), readout=lambda logits, some: logits[:, 0]).gap,
    "direct": lambda model: model.on(pairs()).direct("L1.MLP"),
    "lens": lambda model: model.on(pairs()).lens("L1.RESID_POST"),
}


@pytest.mark.parametrize("refused", REFUSED.values(), ids=REFUSED)
def test_what_is_read_off_one_prediction_is_refused_by_name(whole: Model, refused: Any) -> None:
    with pytest.raises(
        MethodError, match=r"there are several in ' an apple tree' or ' a lemon': give answers of one token"
    ):
        refused(whole).measure()


def test_a_gradient_is_refused_by_name(whole: Model) -> None:
    run = whole.on(pairs())
    patch, pair = run.patch("L1.MLP")._estimand.experiment, run._setup.sample.pairs[0]
    with pytest.raises(
        MethodError, match=r"answers of one token, and after 'I ate .* there are several: search against"
    ):
        patch.slopes(pair)


def test_attention_is_read_in_the_prompts_alone(whole: Model) -> None:
    several, one = (whole.on(pairs(answer=answer)) for answer in (" an apple", " an"))
    paid = [run.attention("L1.H0", source="{fruit}").measure().per_pair for run in (several, one)]
    assert paid[0] == pytest.approx(paid[1], abs=CLOSE)
    with pytest.raises(MethodError, match="attention is read in the prompts"):
        several.attention("L1.H0", source="@answer").measure()


def test_the_answers_own_tokens_are_no_place_where_none_is_run(whole: Model) -> None:
    with pytest.raises(MethodError, match=r"L1.MLP@answer is at the answer's own tokens, of which none is run"):
        whole.on(pairs(answer=" an", foil=" a")).patch("L1.MLP@answer").measure()


def test_a_sweep_over_all_tokens_has_the_answers(whole: Model) -> None:
    swept = whole.on(pairs()).sweep("L1.RESID_POST@*")
    assert "@answer" in str(swept)


def test_that_answer_and_foil_differ_in_length_is_told(whole: Model) -> None:
    alike, longer = (whole.on(pairs(answer=answer)) for answer in (" an apple", " an apple tree"))
    for effect in (longer.accuracy, longer.gap):
        assert any("number of tokens in 4 of 4 pairs" in note for note in effect.measure().notes)
    assert not any("tokens" in note for note in alike.accuracy.measure().notes)


def test_several_tokens_are_shown_as_one_answer(whole: Model) -> None:
    assert "answer  ' an'·' apple'·' tree'  foil  ' a'·' lemon'" in whole.on(pairs())._setup.tokenised(1)
