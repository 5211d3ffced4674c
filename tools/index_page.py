"""The package index's page: the README, in which links into the repository are text, since they lead nowhere there."""

import re
from pathlib import Path
from typing import Any

try:
    from hatchling.metadata.plugin.interface import MetadataHookInterface
except ImportError:  # which is there where a package is built, and nowhere else
    MetadataHookInterface = object

_LINK = re.compile(r"(?P<picture>!?)\[(?P<words>[^\]]*)\]\((?P<target>[^)\s]*)\)")


def page(text: str) -> str:
    """The page of a README's text: links that are absolute stay, pictures and links of the repository are their words."""

    def kept(link: re.Match[str]) -> str:
        return link[0] if link["target"].startswith(("https://", "http://", "#")) else link["words"]

    return _LINK.sub(kept, text)


class IndexPage(MetadataHookInterface):  # type: ignore[misc]
    """What hatchling asks for metadata that are dynamic."""

    def update(self, metadata: dict[str, Any]) -> None:
        """Add the page."""
        text = (Path(self.root) / "README.md").read_text(encoding="utf-8")
        metadata["readme"] = {"content-type": "text/markdown", "text": page(text)}
