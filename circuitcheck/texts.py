"""Texts that any file takes and any screen shows, and the hash that a content is known by."""

import hashlib
import json
import re
from collections.abc import Mapping
from typing import Any

# Control characters, what parts lines or turns the direction of writing (a line reads otherwise than it is), halves of
# surrogate pairs, and what XML does not take.
_UNSEEN = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069\u200e\u200f\ud800-\udfff\ufffe\uffff]"
)


def printable(text: str) -> str:
    r"""A text that somebody else wrote, with all that a reader would not see written out; lines and tabs stay.

    >>> printable("a\x1b[31m")
    'a\\x1b[31m'
    """
    plain = text.replace("\r\n", "\n")
    return _UNSEEN.sub(lambda found: found[0].encode("unicode-escape").decode("ascii"), plain)


# Commands to the runners of CI: of a line that begins with :: (GitHub), and of ##[ or ##vso[ anywhere in one.
_COMMAND = re.compile(r"^[^\S\n]*:(?=:)|##(?=\w*\[)", re.MULTILINE)


def plain(text: str) -> str:
    r"""A text for a terminal and a log: printable, and no line of it is a command to a runner of CI.

    >>> plain("::error::x")
    '\\x3a:error::x'
    """
    return _COMMAND.sub(lambda found: f"{found[0][:-1]}\\x{ord(found[0][-1]):02x}", printable(text))


def shortened(text: str, most: int) -> str:
    """A text, or its beginning and its end."""
    return text if len(text) <= most else f"{text[: most // 2]} … {text[-most // 2 :]}"


def is_writable(text: str) -> bool:
    """Whether a text has no half of a surrogate pair, which is no character."""
    return encodable(text) == text


def natural(text: str) -> list[str | int]:
    """What texts are sorted by so that numbers in them count as numbers.

    >>> sorted(["run-10", "run-2"], key=natural)
    ['run-2', 'run-10']
    """
    return [int(part) if part.isdecimal() else part for part in re.split(r"(\d+)", text)]


def encodable(text: str) -> str:
    """A text with halves of surrogate pairs written out, which no file and no channel takes; inside JSON what is written is
    what stands for them."""
    return text.encode("utf-8", "backslashreplace").decode()


def digest(content: "str | bytes | Mapping[str, Any] | list[Any]", digits: int = 12) -> str:
    """So many hex digits of a content: bytes, a text, or what JSON takes, whatever the order of its names.

    >>> digest("apple")
    '3a7bd3e2360a'
    """
    text = content if isinstance(content, (str, bytes)) else json.dumps(content, sort_keys=True)
    data = text if isinstance(text, bytes) else encodable(text).encode()
    return hashlib.sha256(data).hexdigest()[:digits]


def hashed(content: str) -> bytes:
    """16 bytes that stand for a content in the store."""
    return hashlib.blake2b(content.encode("utf-8", "surrogatepass"), digest_size=16).digest()


def without(nodeid: str, asked: str) -> str:
    """A test's name without that of the model: of ``test.py::test_it[gpt2-3]``, asked ``gpt2``, ``test.py::test_it[3]``."""
    test, _, parameters = nodeid.partition("[")
    if parameters == f"{asked}]":
        return test
    if parameters.startswith(f"{asked}-"):
        return f"{test}[{parameters.removeprefix(f'{asked}-')}"
    if parameters.endswith(f"-{asked}]"):
        return f"{test}[{parameters.removesuffix(f'-{asked}]')}]"
    return nodeid


def plural(count: int, noun: str) -> str:
    """So many of what a noun names.

    >>> plural(1, "pair"), plural(1024, "pair")
    ('1 pair', '1,024 pairs')
    """
    return f"{count:,} {noun}" if count == 1 else f"{count:,} {noun}s"
