"""Rules about running programs: when one is started again, what its budget says, which limits can hold. Pure.

Nothing here starts, stops or measures anything; `makfsd` and `makfs.cli` do, and ask here first.
"""
