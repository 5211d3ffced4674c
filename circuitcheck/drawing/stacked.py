"""Several pictures in one."""

import re
from collections.abc import Sequence

_SIZE = re.compile(r'width="(\d+)" height="(\d+)"')


def stacked(pictures: Sequence[str]) -> str:
    """SVG pictures of this room, one below the other."""
    parts, widest, y = [], 0, 0
    for picture in pictures:
        [(width, height), *_] = _SIZE.findall(picture)
        parts.append(picture.replace("<svg ", f'<svg y="{y}" ', 1))
        widest, y = max(widest, int(width)), y + int(height)
    size = f'width="{widest}" height="{y}" viewBox="0 0 {widest} {y}"'
    return f'<svg xmlns="http://www.w3.org/2000/svg" {size}>{"".join(parts)}</svg>'
