"""What `makfs attach` and a run's keeper send each other at `attach.sock`. Pure.

Parts: a letter, the length as four bytes, and so many bytes. The keeper sends OUT, ERR and at last EXIT; the
client IN, END (of its input), SIZE ("80x24") and SIGNAL (a number).
"""

import struct

from makfs.wire.errors import WireError

OUT, ERR, EXIT = b"o", b"e", b"x"
IN, END, SIZE, SIGNAL = b"i", b"z", b"w", b"s"
MAX_PART_BYTES = 1 << 20
_HEAD = struct.Struct(">cI")


def pack(kind: bytes, data: bytes = b"") -> bytes:
    """Return a part as it travels."""
    return _HEAD.pack(kind, len(data)) + data


class Parts:
    """Takes bytes in any pieces; gives whole parts."""

    def __init__(self) -> None:
        self._bytes = bytearray()

    def feed(self, chunk: bytes) -> list[tuple[bytes, bytes]]:
        """Return the parts that are whole now. Raises WireError."""
        self._bytes += chunk
        found: list[tuple[bytes, bytes]] = []
        while len(self._bytes) >= _HEAD.size:
            kind, length = _HEAD.unpack_from(self._bytes)
            if length > MAX_PART_BYTES:
                raise WireError(f"A part of {length} bytes is too long.")
            if len(self._bytes) < _HEAD.size + length:
                break
            found.append((kind, bytes(self._bytes[_HEAD.size : _HEAD.size + length])))
            del self._bytes[: _HEAD.size + length]
        return found
