import ast
from pathlib import Path

import pytest

import circuitcheck
from circuitcheck import CircuitError, errors

SOURCES = sorted(Path(circuitcheck.__file__).parent.rglob("*.py"))


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


@pytest.mark.parametrize("source", SOURCES, ids=lambda path: path.name)
def test_no_file_asks_to_be_two(source: Path) -> None:
    assert len(source.read_text().splitlines()) <= 400


# The rooms of the house, from the top: a room knows those above it.
ROOMS = """
types errors texts files ledger units store settings checkpoints methods slots pairs rows noise answers prompts populations given
sites bridges edges singles circuits parts alignment shown codes readouts mutants fingerprints engine search sampling models bundled
betting evidence clusters measurements verdicts thresholds ranks figures weights gathered remarks verbs all_of knockouts shares
concepts fits directions presence effects additivity controls differences across each probes pictures sweeps steering grounds
completeness minimality agreement independence shrunk activations observations runs
planted planted_gpt2 doctor lock_fields lock restated drift decisions stored cli options asked machine scheduling strictness report session guard listing plugin
""".split()  # noqa: SIM905
# What a room hands on to one below it, inside a function or for a type alone: `model.on(pairs)` makes a run.
LATE = {("models", "runs"), ("models", "bundled"), ("effects", "runs"), ("ledger", "models"), ("ledger", "verdicts")}
LATE |= {("ledger", "sweeps")}
LATE |= {
    ("effects", "across"),
    ("effects", "additivity"),
    ("effects", "controls"),
    ("effects", "differences"),
    ("effects", "each"),
    ("measurements", "controls"),
    ("mutants", "verdicts"),
    ("mutants", "models"),
}
LATE |= {("measurements", "probes"), ("probes", "runs"), ("directions", "grounds")}
LATE |= {("verbs", "effects"), ("verbs", "runs"), ("search", "effects"), ("search", "evidence")}
LATE |= {("models", "weights"), ("weights", "models"), ("figures", "models"), ("ranks", "verdicts")}
LATE |= {("models", "activations"), ("activations", "models"), ("observations", "runs")}
LATE |= {("prompts", "given"), ("presence", "effects"), ("verbs", "grounds"), ("all_of", "effects")}
LATE |= {("steering", "runs"), ("shares", "effects")}
LATE |= {(room, "runs") for room in ("knockouts", "completeness", "minimality", "agreement", "independence", "shrunk")}


def test_data_goes_one_way() -> None:
    for source in SOURCES:
        room = source.relative_to(SOURCES[0].parent).parts[0].removesuffix(".py")
        if room == "__init__":
            continue
        assert room in ROOMS, f"{room} has no place in the house"
        for node in ast.walk(ast.parse(source.read_text())):
            if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("circuitcheck."):
                other = (node.module or "").split(".")[1]
                if other in ROOMS and (room, other) not in LATE:
                    assert ROOMS.index(other) <= ROOMS.index(room), f"{room} imports {other}"
