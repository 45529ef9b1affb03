"""Which node of a new text is which node of the old one.

M1  Every old node is matched at most once, and only with a node of its own family (function and method,
    constant and attribute are one family each).
M2  Equal ends are matched with themselves.

In this order: equal ends; classes, from the outside in; equal (scope, kind, name), repeats by longest
common subsequence; the same body with its own name blanked, indentation left out of account (a rename, or
a move out of a class); line similarity of at least 0.6.
"""

import re
from collections import Counter, defaultdict
from collections.abc import Callable, Hashable, Iterable, Sequence

from makfs.syntax.change import longest_increasing
from makfs.syntax.naming import base_of, base_scope, outer_scope, own_base
from makfs.syntax.node import Kind, Node

SIMILAR = 0.6
"""Least share of common lines at which two nodes are one, renamed and edited."""

_MOST_CELLS = 40_000  # of a table for the exact longest common subsequence
_MOST_PAIRS = 20_000  # of nodes compared by their lines
_FAMILY = {Kind.METHOD: Kind.FUNC, Kind.ATTR: Kind.CONST}

Pairs = dict[int, int]
"""Index of a new node -> index of the old one it is."""


def match(old: Sequence[Node], new: Sequence[Node]) -> Pairs:
    """Return which new node is which old one."""
    return _Match(old, new).run()


def family(kind: Kind) -> Kind:
    """Return the kind that stands for all kinds a node may change into."""
    return _FAMILY.get(kind, kind)


class _Match:
    """One matching; `pairs` grows stage by stage."""

    def __init__(self, old: Sequence[Node], new: Sequence[Node]) -> None:
        self.old, self.new = old, new
        self.pairs: Pairs = {}
        self.taken: set[int] = set()
        self.scopes: dict[str, str] = {}  # old scope of a matched class -> its new one

    def run(self) -> Pairs:
        """Go through the stages."""
        self._ends()
        self._classes()
        self._by_key(self._left(self.old, self.taken), self._left(self.new, self.pairs))
        self._by_body()
        self._by_lines()
        return self.pairs

    def _take(self, old: int, new: int) -> None:
        self.pairs[new] = old
        self.taken.add(old)
        if self.old[old].kind is Kind.CLASS:
            self.scopes[self.old[old].scope] = self.new[new].scope

    @staticmethod
    def _left(nodes: Sequence[Node], done: Iterable[int]) -> list[int]:
        gone = set(done)
        return [index for index in range(len(nodes)) if index not in gone]

    def _ends(self) -> None:
        old, new = self.old, self.new
        most = min(len(old), len(new))
        low = 0
        while low < most and _same(old[low], new[low]):
            self._take(low, low)
            low += 1
        high = 1
        while high <= most - low and _same(old[-high], new[-high]):
            self._take(len(old) - high, len(new) - high)
            high += 1

    def _classes(self) -> None:
        """Match class headers level by level, so that the members of a renamed class are found."""
        old = [at for at in self._left(self.old, self.taken) if self.old[at].kind is Kind.CLASS]
        new = [at for at in self._left(self.new, self.pairs) if self.new[at].kind is Kind.CLASS]
        depths = sorted({_depth(self.old[at]) for at in old} & {_depth(self.new[at]) for at in new})
        for depth in depths:
            olds = [at for at in old if _depth(self.old[at]) == depth]
            news = [at for at in new if _depth(self.new[at]) == depth]
            self._by_key(olds, news)
            olds = [at for at in olds if at not in self.taken]
            news = [at for at in news if at not in self.pairs]
            self._greedy(olds, news, _subtree)

    def _key(self, node: Node, scopes: dict[str, str]) -> Hashable:
        scope = outer_scope(node)
        return scopes.get(scope, scope), node.kind, own_base(node)[1]

    def _by_key(self, olds: list[int], news: list[int]) -> None:
        """Match equal (scope, kind, name); repeats by longest common subsequence, then in order."""
        groups: dict[Hashable, tuple[list[int], list[int]]] = defaultdict(lambda: ([], []))
        for at in olds:
            groups[self._key(self.old[at], self.scopes)][0].append(at)
        for at in news:
            groups[self._key(self.new[at], {})][1].append(at)
        for mine, theirs in groups.values():
            if len(mine) == 1 and len(theirs) == 1:
                self._take(mine[0], theirs[0])
            elif mine and theirs:
                self._repeats(mine, theirs)

    def _repeats(self, olds: list[int], news: list[int]) -> None:
        """Match repeats of one name: equal texts in order; between them, equal counts in order."""
        texts_old = [self.old[at].core for at in olds]
        texts_new = [self.new[at].core for at in news]
        anchors = [*common_subsequence(texts_old, texts_new), (len(olds), len(news))]
        i = j = 0
        for a, b in anchors:
            if a - i == b - j:
                for step in range(a - i):
                    self._take(olds[i + step], news[j + step])
            if a < len(olds) and b < len(news):
                self._take(olds[a], news[b])
            i, j = a + 1, b + 1

    def _by_body(self) -> None:
        """Match what has the same body when its own name and the indentation are left out."""
        groups: dict[Hashable, tuple[list[int], list[int]]] = defaultdict(lambda: ([], []))
        for at in self._left(self.old, self.taken):
            groups[_body(self.old[at])][0].append(at)
        for at in self._left(self.new, self.pairs):
            groups[_body(self.new[at])][1].append(at)
        for olds, news in groups.values():
            if len(olds) == len(news):
                for one, other in zip(olds, news, strict=True):
                    self._take(one, other)

    def _by_lines(self) -> None:
        """Match what shares most of its lines."""
        olds: dict[Kind, list[int]] = defaultdict(list)
        for at in self._left(self.old, self.taken):
            olds[family(self.old[at].kind)].append(at)
        news: dict[Kind, list[int]] = defaultdict(list)
        for at in self._left(self.new, self.pairs):
            news[family(self.new[at].kind)].append(at)
        for kind, left in olds.items():
            if kind is not Kind.CLASS:
                self._greedy(left, news[kind], _blanked_at)

    def _greedy(self, olds: list[int], news: list[int], text: Callable[[Sequence[Node], int], bytes]) -> None:
        """Match the most similar pairs first; of equally similar ones the nearest."""
        if not olds or not news or len(olds) * len(news) > _MOST_PAIRS:
            return
        left = {at: _lines(text(self.old, at)) for at in olds}
        right = {at: _lines(text(self.new, at)) for at in news}
        scores = [(-similarity(left[a], right[b]), abs(a - b), a, b) for a in olds for b in news]
        for score, _, a, b in sorted(scores):
            if -score < SIMILAR:
                break
            if a not in self.taken and b not in self.pairs:
                self._take(a, b)


def _same(old: Node, new: Node) -> bool:
    return (
        old.text == new.text
        and old.kind is new.kind
        and base_scope(old.scope) == base_scope(new.scope)
        and base_of(old.name) == base_of(new.name)
    )


def _depth(node: Node) -> int:
    return node.scope.count(".")


def _subtree(nodes: Sequence[Node], at: int) -> bytes:
    """Return a class's text, members included, its name blanked."""
    scope = nodes[at].scope
    parts = [nodes[at].core]
    for node in nodes[at + 1 :]:
        if node.scope != scope and not node.scope.startswith(scope + "."):
            break
        parts.append(node.core)
    return _blank_name(b"".join(parts), nodes[at])


def _blank_name(text: bytes, node: Node) -> bytes:
    """Return a text with the node's own name replaced by one that all share."""
    name = own_base(node)[1].partition("[")[0]
    if name.startswith("#"):
        return text
    return re.sub(rb"(?<!\w)" + re.escape(name.encode()) + rb"(?!\w)", b"_", text)


def _blanked(node: Node) -> bytes:
    return _blank_name(node.core, node)


def _blanked_at(nodes: Sequence[Node], at: int) -> bytes:
    return _blanked(nodes[at])


def _body(node: Node) -> Hashable:
    return family(node.kind), tuple(_line_list(_blanked(node)))


def _line_list(text: bytes) -> list[bytes]:
    return [line for line in map(bytes.strip, text.splitlines()) if line]


def _lines(text: bytes) -> Counter[bytes]:
    return Counter(_line_list(text))


def similarity(one: Counter[bytes], other: Counter[bytes]) -> float:
    """Return the share of lines two texts have in common, 0 to 1; order does not count."""
    total = one.total() + other.total()
    return 2 * (one & other).total() / total if total else 0.0


def common_subsequence(one: Sequence[bytes], other: Sequence[bytes]) -> list[tuple[int, int]]:
    """Return index pairs of a longest common subsequence; of a long common one when the lists are large."""
    low, most = 0, min(len(one), len(other))
    while low < most and one[low] == other[low]:
        low += 1
    high, most = 0, most - low
    while high < most and one[-1 - high] == other[-1 - high]:
        high += 1
    a, b = one[low : len(one) - high], other[low : len(other) - high]
    middle = _exact(a, b) if len(a) * len(b) <= _MOST_CELLS else _by_unique(a, b)
    pairs = [(at, at) for at in range(low)]
    pairs += [(low + i, low + j) for i, j in middle]
    return pairs + [(len(one) - at, len(other) - at) for at in range(high, 0, -1)]


def _exact(a: Sequence[bytes], b: Sequence[bytes]) -> list[tuple[int, int]]:
    best = [[0] * (len(b) + 1) for _ in range(len(a) + 1)]
    for i in range(len(a) - 1, -1, -1):
        for j in range(len(b) - 1, -1, -1):
            best[i][j] = best[i + 1][j + 1] + 1 if a[i] == b[j] else max(best[i + 1][j], best[i][j + 1])
    pairs: list[tuple[int, int]] = []
    i = j = 0
    while i < len(a) and j < len(b):
        if a[i] == b[j]:
            pairs.append((i, j))
            i, j = i + 1, j + 1
        elif best[i + 1][j] >= best[i][j + 1]:
            i += 1
        else:
            j += 1
    return pairs


def _by_unique(a: Sequence[bytes], b: Sequence[bytes]) -> list[tuple[int, int]]:
    """Return pairs of texts that are unique on both sides, as many as keep their order."""
    once_a = {text: at for at, text in enumerate(a)}
    once_b = {text: at for at, text in enumerate(b)}
    count_a, count_b = Counter(a), Counter(b)
    places = {
        once_a[text]: at for text, at in once_b.items() if count_b[text] == 1 and count_a.get(text, 0) == 1
    }
    ordered = [places[at] for at in sorted(places)]
    back = {at: place for place, at in places.items()}
    return [(back[at], at) for at in longest_increasing(ordered)]
