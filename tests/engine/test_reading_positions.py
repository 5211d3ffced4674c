"""Predictions read at other positions than the last: against whole plain runs read there."""

from typing import Any

import numpy as np
import pytest
import torch

from circuitcheck import AddressError, ClaimRefuted, MethodError, Model, PromptError, PromptPairs, contrast
from tests import oracle
from tests.conftest import each

FRUITS = contrast(clean=["apple", "orange", "olive"], corrupt=["lemon", "banana", "peach"])
# The article behind the first "picked" and the noun's influence on it; what follows is read by nobody.
TWICE = PromptPairs(
    "I climbed up the {fruit} tree and picked it. I climbed up the {tree} tree and picked it for {who}",
    "I climbed up the {fruit} tree and picked them. He forgot the {tree} of {who}",
    fruit=FRUITS,
    tree=["pear", "fig"],
    who=["Mary", "John"],
    answer=" an",
    foil=" a",
)
AT = "@{fruit}+3"


def whole(model: Model, pair: Any, side: str) -> tuple[int, ...]:
    """A prompt's tokens to its end, as the tokenizer has them."""
    text = (pair.pair.clean if side == "clean" else pair.pair.corrupt).text
    ids = model.bridge.tokenizer.encode(text, add_special_tokens=False)
    return tuple(ids) if model.bos is None else (model.bos, *ids)


def there(model: Model, pair: Any, side: str, hooks: Any = None) -> torch.Tensor:
    """The logits behind the token that reads, in a run of the whole prompt."""
    return oracle.run(model, whole(model, pair, side), hooks)[0, pair.length - 1]


@pytest.mark.parametrize("name", each(["logit_diff", "probability", "kl"], ("probability",)))
def test_a_gap_read_behind_a_token_is_that_of_whole_runs(bundled: Model, name: Any) -> None:
    run = bundled.on(TWICE, readout=name, at=AT)
    measured = run.gap.measure()
    assert measured.n == 72
    assert {len(whole(bundled, pair, "clean")) for pair in measured.pairs} == {25, 26}
    for pair, gap in zip(measured.pairs, measured.per_pair, strict=True):
        last = bundled.bridge.tokenizer.decode([pair.clean[-1]])
        assert last == " picked"
        clean, corrupt = (there(bundled, pair, side) for side in ("clean", "corrupt"))
        expected = oracle.read(name, pair, clean, clean) - oracle.read(name, pair, corrupt, clean)
        assert gap == pytest.approx(expected, abs=1e-4)


@pytest.mark.slow
def test_a_patch_and_a_mean_ablation_read_there_are_those_of_whole_runs(bundled: Model) -> None:
    run = bundled.on(TWICE, at=AT)
    patched, ablated = run.patch("L1.N8").raw.measure(), run.ablate("L1.N8", "mean").raw.measure()
    hook = "blocks.1.mlp.out.hook_in"
    sources = {
        (row, side): oracle.activations(bundled, whole(bundled, pair, side))[hook][0, :, 8]
        for row, pair in enumerate(patched.pairs)
        for side in ("clean", "corrupt")
    }
    template = [pair.pair.template for pair in patched.pairs]
    for row, pair in enumerate(patched.pairs):
        alike = [source for (other, _), source in sources.items() if template[other] == template[row]]
        mean = torch.stack([source[: pair.length] for source in alike]).mean(0)

        def write(activation: torch.Tensor, hook: Any, mean: Any = mean) -> torch.Tensor:
            activation[0, : len(mean), 8] = mean
            return activation

        def patch(activation: torch.Tensor, hook: Any, row: int = row) -> torch.Tensor:
            activation[0, :, 8] = sources[row, "clean"]
            return activation

        def read(side: str, hooks: Any = None, pair: Any = pair) -> float:
            logits = there(bundled, pair, side, hooks)
            return oracle.read("logit_diff", pair, logits, logits)

        assert patched.per_pair[row] == pytest.approx(read("corrupt", [(hook, patch)]) - read("corrupt"), abs=1e-4)
        assert ablated.per_pair[row] == pytest.approx(read("clean") - read("clean", [(hook, write)]), abs=1e-4)


def test_the_end_is_where_it_is_read(bundled: Model) -> None:
    run = bundled.on(TWICE, at=AT)
    for address, same in (("L1.N8@end", "L1.N8@{fruit}+3"), ("L0.H2@-4", "L0.H2@{fruit}")):
        assert run.patch(address).raw.measure().per_pair == pytest.approx(run.patch(same).raw.measure().per_pair)


@pytest.mark.parametrize(
    ("site", "place"), [("L1.N8@{tree}", "{tree}"), ("L1.N8@{fruit}+4", "{fruit}+4"), ("L1.N8@{who}-1", "{who}-1")]
)
def test_what_stands_behind_it_is_an_error(bundled: Model, site: str, place: str) -> None:
    with pytest.raises(PromptError) as caught:
        bundled.on(TWICE, at=AT).patch(site).measure()
    assert str(caught.value).startswith(f"@{place} stands behind @{{fruit}}+3, where 'I climbed up the ")
    assert str(caught.value).endswith("is read: nothing there can matter")


@pytest.mark.parametrize(
    ("at", "error", "message"),
    [
        (
            "@{name}",
            PromptError,
            r"@\{name\}: the prompts have no slot 'name' \(slots: @\{fruit\}, @\{tree\}, @\{who\}\)",
        ),
        ("@*", MethodError, r"a run is read at one position, such as at='@\{slot\}', and @\* names all of them"),
        ("@{fruit}+20", PromptError, "lies outside 'I climbed up"),
        ("fruit", AddressError, "a position is one of end, -2"),
        ("@end | @-2", AddressError, "nothing more is expected here"),
        (-1, AddressError, "a position is text such as '@end' or '@{slot}', not -1"),
    ],
)
def test_a_position_that_is_none_is_answered_with_what_there_is(
    bundled: Model, at: Any, error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        bundled.on(TWICE, at=at).gap.measure()


def test_pairs_that_are_alike_up_to_there_are_rejected_and_counted(bundled: Model) -> None:
    with pytest.raises(PromptError, match=r"\d+ pairs whose prompts do not differ up to @\{fruit\}-1, e.g. 'I climbed"):
        bundled.on(TWICE, at="@{fruit}-1").gap.measure()


def test_nothing_that_was_read_elsewhere_is_mixed_up(bundled: Model) -> None:
    """Two positions of one population, one after the other and again, are two runs with their own reference sets."""
    places = ["", AT, "@{fruit}+2"]
    found = [bundled.on(TWICE, at=at).ablate("L1.MLP").raw.measure() for at in places]
    again = [bundled.on(TWICE, at=at).ablate("L1.MLP").raw.measure() for at in reversed(places)][::-1]
    for first, second in zip(found, again, strict=True):
        assert (first.per_pair == second.per_pair).all()
    assert len({round(one.estimate, 6) for one in found}) == 3
    assert len({one.method.reference for one in found}) == 3
    assert [one.method.readout.split(", ")[1] for one in found] == [
        "last position",
        "behind @{fruit}+3",
        "behind @{fruit}+2",
    ]
    assert [one.label for one in found] == [
        "ablate L1.MLP (mean)",
        "ablate L1.MLP (mean) [@{fruit}+3]",
        "ablate L1.MLP (mean) [@{fruit}+2]",
    ]
    at_end = bundled.on(TWICE, at="@end").ablate("L1.MLP").raw.measure()
    assert at_end.label == found[0].label
    assert (at_end.per_pair == found[0].per_pair).all()
    with pytest.raises(MethodError, match="must be on the same model and pairs"):
        _ = bundled.on(TWICE, at=AT).patch("L1.N8") > bundled.on(TWICE).patch("L1.N8")


def test_a_slot_of_several_tokens_is_read_at_its_last(stories: Model) -> None:
    """On a real tokenizer, with an answer that is a piece of no word of the whole prompt's end."""
    pairs = PromptPairs(
        "Once upon a time, there was a little {who} named {name}. She",
        who=contrast.pairs([("girl", "boy")]),
        name=["Lily", "Tim", "Sue", "Anna", "Sara"],
        answer=".",
        foil=",",
    )
    run = stories.on(pairs, at="@{name}")
    measured = run.gap.measure()
    assert len({pair.length for pair in measured.pairs}) > 1
    for pair, gap in zip(measured.pairs, measured.per_pair, strict=True):
        text = pair.pair.clean.text
        ended = text[: text.index(".")]
        assert stories.bridge.tokenizer.decode(pair.clean[1:]) == ended
        clean, corrupt = (there(stories, pair, side) for side in ("clean", "corrupt"))
        assert gap == pytest.approx(
            oracle.read("logit_diff", pair, clean, clean) - oracle.read("logit_diff", pair, corrupt, corrupt), abs=1e-4
        )


def test_an_answer_follows_the_text_up_to_there(stories: Model) -> None:
    """ "named" is no token behind "girl", whatever it is behind the rest of the prompt."""
    who = contrast.pairs([("girl", "boy")])
    good = PromptPairs("There was a {who} named Tim and the", who=who, answer=" named", foil=" and")
    [pair] = stories.on(good, at="@{who}")._setup.sample.pairs
    text = stories.bridge.tokenizer.decode([*pair.clean, *pair.answer], skip_special_tokens=True)
    assert text == "There was a girl named"
    bad = PromptPairs("There was a {who} named Tim and the ", who=who, answer="named", foil=" and")
    with pytest.raises(PromptError, match="whose answer or foil"):
        _ = stories.on(bad, at="@{who}")._setup.sample


def test_a_slot_is_not_cut_in_two(stories: Model) -> None:
    pairs = PromptPairs(
        "A {who} met {name}", who=contrast.pairs([("girl", "boy")]), name=["Annabella"], answer=".", foil=","
    )
    tokens = stories.on(pairs)._setup.sample.pairs[0]
    assert len(tokens.positions(stories.on(pairs).patch("L0.MLP@{name}")._estimand.experiment.sites[0].position)) > 1
    with pytest.raises(
        PromptError, match=r"@-2 stands inside the filler of \{name\} in .*: read at @\{name\}, its last"
    ):
        stories.on(pairs, at="@-2").gap.measure()


def test_a_counterexample_that_was_read_there_is_replayed_as_tokens(bundled: Model) -> None:
    run = bundled.on(TWICE, at=AT)
    verdict = run.patch("L1.N8").each > 0.55
    with pytest.raises(ClaimRefuted, match="replay   PromptPairs.from_rows") as caught:
        bool(verdict)
    [line] = [line for line in str(caught.value).splitlines() if "replay" in line]
    rows = eval(line.split("replay")[1], {"PromptPairs": PromptPairs})  # noqa: S307
    alone = bundled.on(rows).patch("L1.N8").raw.measure()
    assert alone.estimate / run.gap.measure().estimate == pytest.approx(verdict.searched.found, abs=1e-4)


def test_sweeps_know_the_tokens_up_to_there(bundled: Model) -> None:
    one = PromptPairs(*TWICE.templates[:1], fruit=FRUITS, tree=["pear"], who=["Mary"], answer=" an", foil=" a")
    found = bundled.on(one, at=AT).sweep("L0.RESID_PRE@*")
    assert found.coords["position"][-2:] == ["@-2", "@end"]
    assert found["L0.RESID_PRE@{fruit}"].estimate == pytest.approx(1)
    assert np.abs(np.delete(found.values, found.coords["position"].index("@{fruit}"))).max() < 1e-5
