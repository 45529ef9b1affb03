"""`python -m makfs.cli` is `makfs`."""

from makfs.cli.main import main

main()
