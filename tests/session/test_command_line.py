"""What the commands say of themselves, and of options that they lack."""

import pytest

from circuitcheck.cli import main

COMMANDS = ("doctor", "fetch", "find", "replay", "compare", "reports", "store", "gather", "decide")


def said(words: list[str], capsys: pytest.CaptureFixture[str]) -> list[str]:
    with pytest.raises(SystemExit):
        main(words)
    found = capsys.readouterr()
    return (found.out + found.err).splitlines()


def test_each_commands_help_says_what_it_does_in_the_words_of_the_list(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "400")
    listed = [line.split(maxsplit=1) for line in said(["--help"], capsys)]
    for command in COMMANDS:
        usage, _, words, *_ = said([command, "--help"], capsys)
        assert usage.startswith(f"usage: circuitcheck {command} ")
        assert [command, words[0].lower() + words[1:].removesuffix(".")] in listed


@pytest.mark.parametrize("command", ["store", "compare", "reports", "decide", "doctor"])
def test_an_unknown_option_is_told_with_the_commands_own_usage(
    command: str, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["a", "b"] if command in ("compare", "reports") else []
    usage, *_, error = said([command, *words, "--odd"], capsys)
    assert usage.startswith(f"usage: circuitcheck {command} ")
    assert error == f"circuitcheck {command}: error: unrecognized arguments: --odd"
