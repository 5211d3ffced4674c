"""Small pictures inside a page: PNG, written with zlib alone.

>>> data_uri(np.zeros((8, 8, 3), dtype=np.uint8))[:22]
'data:image/png;base64,'
"""

import struct
import zlib
from base64 import b64encode

import numpy as np
from numpy.typing import NDArray

PREFIX = "data:image/png;base64,"
# Rows and columns that are shown, at most.
_MOST = 64


def data_uri(picture: NDArray[np.uint8]) -> str:
    """A picture [row, column, colour] as what an image's source may be; of a large one every second pixel, or fewer."""
    step = -(-max(picture.shape[:2]) // _MOST)
    shown = np.ascontiguousarray(picture[::step, ::step])
    height, width, _ = shown.shape
    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    # Each row begins with how it is filtered: not at all.
    rows = b"".join(b"\0" + row.tobytes() for row in shown)
    parts = [(b"IHDR", header), (b"IDAT", zlib.compress(rows, 9)), (b"IEND", b"")]
    return PREFIX + b64encode(b"\x89PNG\r\n\x1a\n" + b"".join(_chunk(*part) for part in parts)).decode()


def _chunk(kind: bytes, content: bytes) -> bytes:
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))
