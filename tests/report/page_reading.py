"""The page as a browser would read it: its elements, and the points of its pictures."""

import re
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from html.parser import HTMLParser
from typing import Any

from circuitcheck.report.claims import Claim, ClaimCollector
from circuitcheck.report.page.page import page
from tests.some_claims import claims

_EMPTY = {"meta", "link", "input", "br", "img", "path", "rect"}


@dataclass
class Element:
    tag: str
    attributes: dict[str, str]
    parts: "list[Element | str]" = field(default_factory=list)

    def all(self, tag: str = "", **having: str) -> "list[Element]":
        """What is inside, of a tag and with attributes (``class_`` for one of the classes)."""
        wanted_class = having.get("class_", "")
        wanted = {key.replace("_", "-"): value for key, value in having.items() if key != "class_"}
        return [
            one
            for one in self.inside()
            if tag in ("", one.tag)
            and (not wanted_class or wanted_class in one.attributes.get("class", "").split())
            and all(one.attributes.get(key) == value for key, value in wanted.items())
        ]

    def inside(self) -> "Iterator[Element]":
        for part in self.parts:
            if isinstance(part, Element):
                yield part
                yield from part.inside()

    @property
    def text(self) -> str:
        return "".join(part if isinstance(part, str) else part.text for part in self.parts)


class Reader(HTMLParser):
    """Reads a page as a browser would, and is strict about what is closed."""

    def __init__(self, text: str):
        super().__init__()
        self.root = Element("", {})
        self._open = [self.root]
        self.feed(text)
        self.close()
        assert self._open == [self.root], f"never closed: {self._open[-1].tag}"

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        names = [name for name, _ in attrs]
        assert len(names) == len(set(names)), f"an attribute twice: {names}"
        element = Element(tag, {name: value or "" for name, value in attrs})
        self._open[-1].parts.append(element)
        if tag not in _EMPTY:
            self._open.append(element)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.handle_starttag(tag, attrs)
        if tag not in _EMPTY:
            self.handle_endtag(tag)

    def handle_endtag(self, tag: str) -> None:
        if tag not in _EMPTY:
            assert self._open.pop().tag == tag

    def handle_data(self, data: str) -> None:
        self._open[-1].parts.append(data)


def page_of(made: list[Claim], when: datetime = datetime(2026, 1, 1, tzinfo=UTC)) -> str:
    collector = ClaimCollector()
    collector.claims = {claim.nodeid: claim for claim in made}
    return page(made, collector.models(), {"seed": "0", "alpha": "0.05", "budget": "1024", "bound": "2"}, when)


def read(text: str) -> Element:
    return Reader(text).root


def one_claim(**changed: Any) -> Claim:
    return replace(claims(1)[0], **changed)


def places(picture: Element, name: str) -> list[list[tuple[float, float]]]:
    """The points of the paths of a class."""
    paths = [path.attributes["d"] for path in picture.all("path", class_=name)]
    numbers = [[float(number) for number in re.findall(r"-?\d+(?:\.\d+)?", path)] for path in paths]
    return [list(zip(found[::2], found[1::2], strict=True)) for found in numbers]
