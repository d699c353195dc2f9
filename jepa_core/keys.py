"""Cache keys from typed, length-prefixed parts.

Joining parts with a separator lets two different lists collide (`"a|b", "c"` and `"a", "b|c"`), and `str` makes `1` and
`"1"` the same. Here every part carries its type and its length, so equal keys mean equal parts.
"""

import hashlib
import struct

Part = str | bytes | int | float | bool | None


def _encode(part: Part) -> bytes:
    # bool before int: bool is a subclass of int and must stay another key.
    match part:
        case None:
            tag, body = b"n", b""
        case bool():
            tag, body = b"b", bytes([part])
        case int():
            tag, body = b"i", str(part).encode()
        case float():
            tag, body = b"f", struct.pack("<d", part)
        case str():
            tag, body = b"s", part.encode()
        case bytes():
            tag, body = b"y", part
        case _:
            raise TypeError(f"A key part must be str, bytes, int, float, bool or None. Got {type(part).__name__}.")
    return tag + struct.pack("<Q", len(body)) + body


def make_key(*parts: Part) -> str:
    """SHA-256 (hex) of the parts, each prefixed by its type and length.

    >>> make_key("a", "bc") == make_key("ab", "c")
    False
    >>> make_key(1) == make_key("1")
    False
    """
    return hashlib.sha256(b"".join(_encode(part) for part in parts)).hexdigest()
