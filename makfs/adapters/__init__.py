"""How makfs deals with programs it does not know: one table per command line agent. Pure; data in *.toml.

`table` is what a table may say, `usage` what a program's output tells of tokens, `tokens` the sum.
"""
