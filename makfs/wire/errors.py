"""The one error of this room."""

import errno

from makfs.errors import MakfsError


class WireError(MakfsError):
    """A frame or value is not what the protocol says. `request_id` is the request's number, 0 if unknown."""

    errno = errno.EPROTO

    def __init__(self, sentence: str, request_id: int = 0) -> None:
        super().__init__(sentence)
        self.request_id = request_id
