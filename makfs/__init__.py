"""makfs: a file system that lets several coding agents work on one repository at once."""

__version__ = "0.1.0"
