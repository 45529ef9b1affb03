"""The mount: FUSE requests to engine operations, over pyfuse3."""

from makfs.vfs.serve import serve

__all__ = ["serve"]
