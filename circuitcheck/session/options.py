"""What is asked for, by a ``--circuit-`` option or in pytest's ini file. Nothing heavy is imported here."""

from typing import Any

import pytest

# When the session began, in seconds since 1970.
BEGAN = pytest.StashKey[float]()
# How many tests that make claims were collected.
CLAIMS = pytest.StashKey[int]()


def option(config: pytest.Config, name: str) -> Any:
    """A ``--circuit-`` option, or the ``circuit_`` ini key where the option is not given."""
    given = config.getoption(f"circuit_{name}")
    return config.getini(f"circuit_{name}") if given is None else given


def is_strict(config: pytest.Config) -> bool:
    """Whether no claim is let off: ``--circuit-strict`` or ``circuit_strict`` (see circuitcheck.session.strictness)."""
    return bool(config.getoption("circuit_strict") or config.getini("circuit_strict"))


def locks(config: pytest.Config) -> bool:
    """Whether the session's claims are locked, or compared with a lock."""
    return bool(config.getoption("circuit_lock") or config.getoption("circuit_baseline"))
