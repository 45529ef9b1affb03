"""The five lock modes and which of them may be held side by side. Pure.

A holding of many is packed into one int, a counter of 24 bits a mode, so that "does anybody hold what does
not go with X here" is one subtraction and one `&`, however many hold the address.

Source: Gray, Lorie, Putzolu and Traiger, Granularity of Locks and Degrees of Consistency, 1976.
"""

from enum import IntEnum
from typing import Final

COUNTER_BITS: Final = 24


class Mode(IntEnum):
    """What a claim allows. The numbers are places in tables; their order means nothing."""

    IS = 0  # reads something below
    IX = 1  # writes something below
    S = 2  # reads all of it: people say `read`
    SIX = 3  # reads all of it, writes something below
    X = 4  # writes it: people say `write`

    @property
    def word(self) -> str:
        """Return what people read."""
        return _WORDS[self]


READ: Final = Mode.S
WRITE: Final = Mode.X

_WORDS: Final = ("intent to read", "intent to write", "read", "read and intent to write", "write")

_TOGETHER: Final = {
    Mode.IS: {Mode.IS, Mode.IX, Mode.S, Mode.SIX},
    Mode.IX: {Mode.IS, Mode.IX},
    Mode.S: {Mode.IS, Mode.S},
    Mode.SIX: {Mode.IS},
    Mode.X: set[Mode](),
}

_CLASHES: Final = tuple(frozenset(set(Mode) - _TOGETHER[mode]) for mode in Mode)

UNIT: Final = tuple(1 << COUNTER_BITS * mode for mode in Mode)
"""One holding of each mode, packed."""

CLASH: Final = tuple(
    sum(((1 << COUNTER_BITS) - 1) << COUNTER_BITS * other for other in _CLASHES[mode]) for mode in Mode
)
"""By mode, the counters that must be zero for others before it may be held."""

INTENT: Final = (Mode.IS, Mode.IX, Mode.IS, Mode.IX, Mode.IX)
"""By mode, what is held on all above."""

_JOIN: Final = tuple(
    tuple(
        min(
            (each for each in Mode if _CLASHES[each] >= _CLASHES[one] | _CLASHES[other]),
            key=lambda mode: len(_CLASHES[mode]),
        )
        for other in Mode
    )
    for one in Mode
)

_CLASH_OF_NEED: Final = {
    sum(UNIT[mode] for mode in Mode if bits >> mode & 1): sum(
        ((1 << COUNTER_BITS) - 1) << COUNTER_BITS * other
        for other in frozenset[Mode]().union(*(_CLASHES[mode] for mode in Mode if bits >> mode & 1))
    )
    for bits in range(1 << len(Mode))
}


def compatible(one: Mode, other: Mode) -> bool:
    """Tell whether two agents may hold these at one address."""
    return other in _TOGETHER[one]


def join(one: Mode, other: Mode) -> Mode:
    """Return the weakest mode that is as strong as both: S and IX are SIX."""
    return _JOIN[one][other]


def at_least(held: Mode, asked: Mode) -> bool:
    """Tell whether `held` allows all that `asked` allows at the same address."""
    return _JOIN[held][asked] is held


def covers_below(held: Mode, asked: Mode) -> bool:
    """Tell whether `held` on an address above allows `asked` below it."""
    return held is Mode.X or (held in (Mode.S, Mode.SIX) and asked in (Mode.S, Mode.IS))


def clash_of(need: int) -> int:
    """Return the counters that must be zero for all modes of `need`, a packed number of 0s and 1s."""
    return _CLASH_OF_NEED[need]


def modes_of(packed: int) -> tuple[Mode, ...]:
    """Return the modes held at least once in a packed number."""
    return tuple(mode for mode in Mode if packed >> COUNTER_BITS * mode & (1 << COUNTER_BITS) - 1)
