"""The journal as git sees it: a git commit for each of its commits, and ordinary commits of its paths."""
