"""The mount without libfuse: the kernel's FUSE protocol, spoken here."""

from makfs.vfs.native.serve import serve

__all__ = ["serve"]
