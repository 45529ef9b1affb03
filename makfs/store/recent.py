"""A bounded memory of what was used lately, in two generations. Pure.

Cheaper than an ordered list of uses: a look-up is one dict access, and what is not asked for during a
whole generation is forgotten together.
"""

from typing import Generic, TypeVar

K = TypeVar("K")
V = TypeVar("V")


class Recent(Generic[K, V]):
    """Remembers at least the last `limit` of weight put, at most twice that."""

    __slots__ = ("_limit", "_old", "_weight", "young")

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._weight = 0
        self._old: dict[K, V] = {}
        self.young: dict[K, V] = {}  # read it directly where one look-up per node counts

    def get(self, key: K) -> V | None:
        """Return what is remembered, or None."""
        value = self.young.get(key)
        return value if value is not None else self._old.get(key)

    def put(self, key: K, value: V, weight: int = 1) -> None:
        """Remember; forgets the older generation when the younger is full."""
        if self._weight + weight > self._limit and self.young:
            self._old, self.young, self._weight = self.young, {}, 0
        if key not in self.young:
            self._weight += weight
        self.young[key] = value

    def clear(self) -> None:
        """Forget everything."""
        self._old, self.young, self._weight = {}, {}, 0
