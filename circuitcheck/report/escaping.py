"""Text that somebody else wrote, for Markdown and HTML: it stays text, whatever is in it."""

import re

from circuitcheck.texts import printable

# What Markdown or GitHub reads as more than text: links and addresses among it, which begin at :// and www. alone.
_MARKUP = re.compile(r"[\\`*\[\]<>|~$&@#]|(?<![^\W_])_|_(?![^\W_])|:(?=//)|(?<=www)\.", re.IGNORECASE)
# @user, #12 and :word: become a mention, a reference and a picture behind Markdown, in text that hangs together.
_TOGETHER = re.compile(r"([@#](?=\w)|:(?=[\w+-]+:))")


def in_markdown(text: str, at_most: int = 300) -> str:
    """The text as one line of Markdown or HTML, wherever in it: in a table, in tags."""
    line = " ".join(printable(text).split())
    shown = line if len(line) <= at_most else f"{line[: at_most - 1]}…"
    return "".join(map(_unmarked, _TOGETHER.split(shown)))


def as_code(text: str, at_most: int = 300) -> str:
    """The same in the letters of code."""
    return f"<code>{in_markdown(text, at_most)}</code>"


def in_html(text: str) -> str:
    """The text between HTML tags, with its lines."""
    return printable(text).replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def _unmarked(part: str) -> str:
    if part in ("@", "#", ":"):
        return f"<span>&#{ord(part)};</span>"
    return _MARKUP.sub(lambda found: f"&#{ord(found[0])};", part)
