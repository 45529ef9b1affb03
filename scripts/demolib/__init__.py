"""What `scripts/demo` and `scripts/picture` are made of. Standard library only."""
