"""Texts that any file takes and any screen shows."""

# Control characters but tabs and line ends, as the pictures that Unicode has of them; and what no text may hold.
_PICTURES = {code: 0x2400 + code for code in range(32) if chr(code) not in "\t\n\r"}
_PICTURES |= {0x7F: 0x2421, **dict.fromkeys([*range(0x80, 0xA0), 0xFFFE, 0xFFFF, *range(0xD800, 0xE000)], 0xFFFD)}


def visible(text: str) -> str:
    """A text with a sign in the place of each character that XML and HTML do not take."""
    return text.translate(_PICTURES)


def encodable(text: str) -> str:
    """A text with halves of surrogate pairs written out, which no file and no channel takes; inside JSON what is written is
    what stands for them."""
    return text.encode("utf-8", "backslashreplace").decode()
