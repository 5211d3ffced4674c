import pytest

import circuitcheck
from circuitcheck import Circuit, CircuitError, Model, PromptPairs, errors

# Why each name is public: what a user writes it for.
WHY = {
    "load": "a model outside of pytest",
    "Model": "annotates the model fixture",
    "Run": "annotates what model.on gives to a helper",
    "Settings": "what load(settings=...) takes",
    "PromptPairs": "describes the prompts",
    "contrast": "a slot that differs between clean and corrupted prompts",
    "generated": "reads what a model writes",
    "mean": "an ablation's value, of other prompts",
    "resample": "an ablation's value, of other prompts",
    "scaled": "an ablation's value: what is there, times a factor",
    "zero": "an ablation's value",
    "ImagePairs": "describes pairs of pictures",
    "Circuit": "names groups of sites",
    "Direction": "annotates what patch(along=...) takes",
    "Probe": "annotates what run.probe gives",
    "Effect": "annotates what a verb gives, for helpers of one's own",
    "Measurement": "annotates what measure() gives",
    "Verdict": "annotates what a comparison gives",
    "Sweep": "annotates what run.sweep gives",
    "Candidates": "annotates what run.find gives",
}
# What dir() of each shows: verbs and what they read, nothing that only the package uses.
FACES = {
    "Run": "ablate accuracy agreement attention completeness dictionary direct find gap independence interchange keep lens "
    "mean_difference minimality patch probe scrub show shrink steer sweep",
    "Effect": "across beats beats_random each label measure new_above of_behaviour of_clean of_gap over_parts pairs_above "
    "rank_within raw unit",
    "Model": "activation anatomy bos bridge congruence explain fingerprint head name on step token_neurons untrained weights "
    "with_dictionary",
    "PromptPairs": "description fitting from_csv from_jsonl from_rows from_strategy identity left_out rows show split strategy "
    "templates with_prefix with_typos",
}


def test_every_public_name_has_a_reason() -> None:
    """Exceptions are there to be caught; all else is what a user writes, or annotates a helper with."""
    exceptions = {name for name in circuitcheck.__all__ if issubclass_of_error(getattr(circuitcheck, name))}
    assert set(circuitcheck.__all__) - exceptions == set(WHY)


def issubclass_of_error(value: object) -> bool:
    return isinstance(value, type) and issubclass(value, CircuitError)


@pytest.mark.parametrize("name", FACES)
def test_what_completion_shows_is_what_users_need(bundled: Model, fruit: PromptPairs, name: str) -> None:
    run = bundled.on(fruit)
    thing = {"Run": run, "Effect": run.patch("L1.N8"), "Model": bundled, "PromptPairs": fruit}[name]
    assert [one for one in dir(thing) if not one.startswith("_")] == FACES[name].split()
    assert type(thing) is getattr(circuitcheck, name)


def test_every_public_method_says_what_it_is() -> None:
    for name in FACES:
        kind = getattr(circuitcheck, name)
        assert all(getattr(kind, one).__doc__ for one in FACES[name].split() if hasattr(kind, one))


@pytest.mark.parametrize(
    "old", ["in_logits", "in_nats", "in_accuracy", "in_probability", "in_places", "in_prompts", "in_values"]
)
def test_an_old_name_says_the_new_one(bundled: Model, fruit: PromptPairs, old: str) -> None:
    effect = bundled.on(fruit).patch("L1.N8")
    with pytest.raises(AttributeError, match=f"no attribute '{old}': write .raw$"):
        getattr(effect, old)
    assert not hasattr(effect, old)


def test_old_names_of_prompts_say_the_new_ones_too_and_others_are_ordinary_errors(
    bundled: Model, fruit: PromptPairs
) -> None:
    with pytest.raises(AttributeError, match=r"no attribute 'with_noise': write .with_typos\(\.\.\.\)"):
        fruit.with_noise()  # type: ignore[attr-defined]
    with pytest.raises(AttributeError, match=r"'Effect' object has no attribute 'in_metres'$"):
        bundled.on(fruit).gap.in_metres  # type: ignore[attr-defined]  # noqa: B018


def test_whatever_shows_prints(bundled: Model, fruit: PromptPairs, capsys: pytest.CaptureFixture[str]) -> None:
    circuit = Circuit(neurons="L1.N8")
    bundled.on(fruit).show(1)
    shown = capsys.readouterr().out
    assert "  answer  ' an'  foil  ' a'" in shown
    fruit.show(bundled, n=1)
    assert capsys.readouterr().out == shown
    circuit.show(bundled)
    assert capsys.readouterr().out == "1 member in bundled\nneurons  L1.N8\n"


def test_the_public_names_are_sorted_and_all_can_be_had() -> None:
    assert circuitcheck.__all__ == sorted(circuitcheck.__all__)
    for name in circuitcheck.__all__:
        assert getattr(circuitcheck, name).__name__ == name
    assert set(circuitcheck.__all__) <= set(dir(circuitcheck))


def test_a_name_that_does_not_exist_is_an_ordinary_attribute_error() -> None:
    with pytest.raises(AttributeError, match="circuit_check"):
        circuitcheck.circuit_check  # noqa: B018


def test_every_exception_is_public_and_in_the_drawn_tree() -> None:
    for name, value in vars(errors).items():
        if isinstance(value, type) and issubclass(value, CircuitError):
            assert name in circuitcheck.__all__
            assert name in (errors.__doc__ or "")
            assert value.__module__ == "circuitcheck"
