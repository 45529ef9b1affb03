"""V1: what `makfs locks` looks like: golden texts; nothing is left out or wider than the terminal."""

import click
import pytest
from hypothesis import given
from hypothesis import strategies as st

from makfs.cli.lockview import parts_of, render_locks
from makfs.cli.text import columns
from makfs.engine.api import ClaimRow, LockRow, LockState, WaitRow
from makfs.ids import AgentId

NOW_NS = 1_795_170_000_123_456_789
S = 10**9


def grant(agent: str, address: str, mode: str, since_s: int, in_s: int, *, explicit: bool = True) -> LockRow:
    until = NOW_NS + in_s * S
    return LockRow(AgentId(agent), address, mode, 1, NOW_NS - since_s * S, until, 300 * S, explicit)


def waiter(agent: str, claims: dict[str, str], since_s: int, in_s: int, *behind: str) -> WaitRow:
    rows = tuple(ClaimRow(address, mode) for address, mode in claims.items())
    return WaitRow(1, AgentId(agent), rows, NOW_NS - since_s * S, NOW_NS + in_s * S, behind)


STATE = LockState(
    NOW_NS,
    (
        grant("bob", "resource:build", "write", 4, 26),
        grant("alice", "src/app/greet.py::Desk.ring", "write", 123, 12, explicit=False),
        grant("alice", "src/app/greet.py::hello", "read", 8, 292),
        grant("carol-the-careful", "src/app/greet.py::hello", "read", 7, 293),
        grant("bob", "src/lib/", "write", 3700, 100),
        grant("bob", "README.md", "write", 0, 5, explicit=False),
        grant("alice", "docs/a/b/guide.md", "write", 1, 4, explicit=False),
        grant("alice", "src/app/greet.py::#imports", "intent to write", 1, 4),
        grant("alice", "src/app/greet.py::Desk#header", "write", 1, 4),
    ),
    (
        waiter("bob", {"src/app/greet.py::Desk.ring": "write", "resource:test": "write"}, 3, 9, "alice"),
        waiter("dave", {"src/app/greet.py::hello": "write"}, 2, 13, "alice", "carol-the-careful"),
        waiter("erin", {"src/app/greet.py::Desk": "write"}, 1, 14, "alice", "bob"),
    ),
)

WIDE = """\
ADDRESS              MODE             AGENT              SINCE  UNTIL      HOW
README.md            write            bob                0s     in 5s      lease
docs/a/b/
└─ guide.md          write            alice              1s     in 4s      lease
src/
├─ app/
│  └─ greet.py
│     ├─ #imports    intent to write  alice              1s     in 4s      claim
│     ├─ Desk
│     │  │  3.       write            erin               1s     in 14s     waits for alice, bob
│     │  ├─ #header  write            alice              1s     in 4s      claim
│     │  └─ ring     write            alice              2m 3s  in 12s     lease
│     │        1.    write            bob                3s     in 9s      waits for alice
│     └─ hello       read             alice              8s     in 4m 52s  claim
│                    read             carol-the-careful  7s     in 4m 53s  claim
│           2.       write            dave               2s     in 13s     waits for alice, carol-the-careful
└─ lib/              write            bob                1h 1m  in 1m 40s  claim
resource:build       write            bob                4s     in 26s     claim
resource:test
   1.                write            bob                3s     in 9s      waits for alice
"""

NARROW = """\
ADDRESS              MODE             AGENT       UNTIL      HOW
README.md            write            bob         in 5s      lease
docs/a/b/
└─ guide.md          write            alice       in 4s      lease
src/
├─ app/
│  └─ greet.py
│     ├─ #imports    intent to write  alice       in 4s      claim
│     ├─ Desk
│     │  │  3.       write            erin        in 14s     waits for alice, b…
│     │  ├─ #header  write            alice       in 4s      claim
│     │  └─ ring     write            alice       in 12s     lease
│     │        1.    write            bob         in 9s      waits for alice
│     └─ hello       read             alice       in 4m 52s  claim
│                    read             carol-the…  in 4m 53s  claim
│           2.       write            dave        in 13s     waits for alice, c…
└─ lib/              write            bob         in 1m 40s  claim
resource:build       write            bob         in 26s     claim
resource:test
   1.                write            bob         in 9s      waits for alice
"""


def plain(state: LockState, width: int | None) -> str:
    return "".join(f"{click.unstyle(line)}\n" for line in render_locks(state, width))


def test_tree_shows_who_holds_and_below_it_who_waits() -> None:
    assert plain(STATE, None) == WIDE


def test_tree_fits_the_terminal() -> None:
    assert plain(STATE, 80) == NARROW


def test_whole_repository_stands_above_all_but_resources() -> None:
    held = (
        grant("alice", "", "read", 1, 9),
        grant("bob", "resource:x", "write", 1, 9),
        grant("bob", "a.py", "read", 1, 9),
    )
    lines = plain(LockState(NOW_NS, held, (waiter("bob", {"": "write"}, 1, 5, "alice"),)), None).splitlines()
    assert [line.split("  ")[0].strip() for line in lines] == [
        "ADDRESS",
        "the repository",
        "\u2502",
        "\u2514\u2500 a.py",
        "resource:x",
    ]


def test_hostile_names_are_escaped() -> None:
    text = plain(LockState(NOW_NS, (grant("alice", "a\x1b[2J\udcff/b\n.py::f", "write", 1, 9),), ()), None)
    assert "a\\x1b[2J\\xff/" in text
    assert text.replace("\n", "").isprintable()
    assert text.count("\n") == 4


@pytest.mark.parametrize(
    ("address", "parts"),
    [
        ("", ()),
        ("a/b/", ("a/", "b/")),
        ("a/b.py", ("a/", "b.py")),
        ("a/b.py::C.m", ("a/", "b.py", "C", "m")),
        ("b.py::C#header", ("b.py", "C", "#header")),
        ("b.py::#imports", ("b.py", "#imports")),
        ("resource:port:8000", ("resource:port:8000",)),
        ("resource:a/b", ("resource:a/", "b")),
        ("odd::dir/b.py", ("odd::dir/", "b.py")),
    ],
)
def test_address_is_taken_apart(address: str, parts: tuple[str, ...]) -> None:
    assert parts_of(address) == parts


addresses = st.sampled_from(
    [
        "",
        "a/",
        "a/b/",
        "a/b/c.py",
        "a/b/c.py::C",
        "a/b/c.py::C.m",
        "a/b/c.py::C#header",
        "a/d.py",
        "e.py",
        "resource:x",
        "deep/" * 12 + "f.py::" + "x" * 40,
        "\u65e5\u672c/\x1b.py",
    ]
)
modes = st.sampled_from(["read", "write", "read and intent to write"])


@given(st.lists(st.tuples(addresses, modes), max_size=12), st.integers(0, 12), st.integers(60, 120))
def test_every_claim_has_one_line_and_none_is_too_wide(
    claims: list[tuple[str, str]], first: int, width: int
) -> None:
    grants = tuple(grant(f"agent{n}x", *claim, 100, 90_000) for n, claim in enumerate(claims[:first]))
    waiters = tuple(
        waiter(f"agent{n}x", {claim[0]: claim[1], "resource:y": "write"}, 1, 5, "a", "b" * 20)
        for n, claim in enumerate(claims[first:], first)
    )
    for limit in (None, width):
        lines = plain(LockState(NOW_NS, grants, waiters), limit).splitlines()
        for n in range(len(claims)):
            assert sum(f"agent{n}x " in line for line in lines) == (1 if n < first else 2), "V1"
        assert limit is None or all(columns(line) <= limit for line in lines)
