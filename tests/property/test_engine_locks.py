"""Locks below the tools: what another agent holds stays as it is; what is free is not refused.

What stands in the way of a change is computed here from the rules of docs/locks.md, not asked of the table.
"""

import contextlib
import errno
import os
from collections.abc import Callable, Sequence

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from makfs.config import AgentRule, Config, OnWrite, WriteConfig
from makfs.engine.api import LockRow
from makfs.errors import MakfsError
from makfs.ids import AgentId
from tests.property.engine_kernel import Caches, Process, call, remove, temporary_folder

POLICIES = {"alice": OnWrite.LEASE, "bob": OnWrite.MERGE, "carol": OnWrite.CLAIM}
AGENTS = tuple(POLICIES)
FILES = ("a.py", "pkg/b.py", "notes.txt")
NAMES = tuple(f"f{number}" for number in range(4))
ADDRESSES = (
    *(f"{path}::{name}" for path in FILES[:2] for name in (*NAMES, "new")),
    *FILES, "pkg/", "", "pkg/c.py", "resource:test",
)  # fmt: skip
STYLES = ("truncate", "shrink", "shadow", "temporary", "rewrite")
WHOLE = ("S", "SIX", "X")  # modes that hold all that is below
CONFIG = Config(
    write=WriteConfig(wait_s=0.0, lease_s=3600.0, claim_s=3600.0),  # time does not pass here
    agents=tuple(AgentRule(AgentId(agent), policy) for agent, policy in POLICIES.items()),
)
_MODE = {"read": "S", "write": "X", "intent to read": "IS", "intent to write": "IX"}


def start_text(path: str) -> bytes:
    if path.endswith(".py"):
        return b"\n\n".join(b"def %b():\n    x = 0\n    return x\n" % name.encode() for name in NAMES)
    return b"a note\n"


def mode_of(row: LockRow) -> str:
    return _MODE.get(row.mode, "SIX")


def must_be_busy(error: OSError) -> None:
    assert error.errno == errno.EBUSY, error


def above(address: str) -> list[str]:
    """Return the addresses above one, as docs/locks.md says: repository, folders, file."""
    found, path = [""], address.partition("::")[0]
    found += [path[: at + 1] for at, char in enumerate(path) if char == "/" and path[: at + 1] != address]
    return [*found, path] if "::" in address else found


class Locked(RuleBasedStateMachine):
    """Agents claim, release and write; the head changes as the rules allow, and not otherwise."""

    def __init__(self) -> None:
        super().__init__()
        self.folder = temporary_folder()
        self.repo = self.folder / "repo"
        (self.repo / "pkg").mkdir(parents=True)
        for path in FILES:
            (self.repo / path).write_bytes(start_text(path))
        self.caches = Caches(self.repo, AGENTS, CONFIG)
        self.kernel = self.caches.kernel
        self.workers = {agent: Process(self.caches, agent, number) for number, agent in enumerate(AGENTS)}
        self.counter = 0

    # ---- the rules, restated

    def grants(self) -> Sequence[LockRow]:
        return [row for row in self.kernel.locks().grants if not row.address.startswith("resource:")]

    def against(self, agent: str, address: str) -> list[LockRow]:
        """Return the grants of others that stand against a write lock on an address."""
        over = above(address)
        return [
            row
            for row in self.grants()
            if row.agent != agent
            and (
                row.address == address
                or (row.address in over and mode_of(row) in WHOLE)
                or (address in above(row.address))
            )
        ]

    def is_claimed(self, agent: str, address: str) -> bool:
        return any(
            row.agent == agent and mode_of(row) == "X" and row.address in (address, *above(address))
            for row in self.grants()
        )

    def may(self, agent: str, addresses: Sequence[str]) -> bool:
        if POLICIES[agent] is OnWrite.CLAIM and not all(self.is_claimed(agent, each) for each in addresses):
            return False
        return not any(self.against(agent, each) for each in addresses)

    def attempt(self, agent: str, addresses: Sequence[str], work: Callable[[], None]) -> bool:
        """Do something that needs write locks; check that it went as the rules say."""
        allowed = self.may(agent, addresses)
        before = {path: (self.repo / path).read_bytes() for path in FILES if (self.repo / path).exists()}
        try:
            work()
        except OSError as error:
            must_be_busy(error)
            assert not allowed, f"{agent} was refused {addresses} though nothing stands against it"
            after = {path: (self.repo / path).read_bytes() for path in FILES if (self.repo / path).exists()}
            assert after == before
            why = self.kernel.why(agent)
            assert any(row.agent in why for each in addresses for row in self.against(agent, each)) or (
                "may write only what it has claimed" in why
            ), why
            return False
        assert allowed, f"{agent} changed {addresses} against {[self.against(agent, a) for a in addresses]}"
        for address in addresses if POLICIES[agent] is OnWrite.LEASE else ():
            assert self.is_claimed(agent, address), f"{agent} does not hold {address} after writing it"
        return True

    # ---- claims

    @initialize()
    def begin(self) -> None:
        for agent in AGENTS:
            for path in FILES:
                self.workers[agent].read(path)

    @rule(agent=st.sampled_from(AGENTS), mode=st.sampled_from(["IS", "IX", "S", "SIX", "X"]),
          addresses=st.lists(st.sampled_from(ADDRESSES), min_size=1, max_size=3, unique=True))  # fmt: skip
    def claim(self, agent: str, mode: str, addresses: list[str]) -> None:
        with contextlib.suppress(OSError):
            call(self.kernel.claim, agent, mode, addresses, 0.0)

    @rule(agent=st.sampled_from(AGENTS))
    def release(self, agent: str) -> None:
        with contextlib.suppress(MakfsError):
            self.kernel.release(agent, None)

    # ---- writes

    @rule(agent=st.sampled_from(AGENTS), path=st.sampled_from(FILES), style=st.sampled_from(STYLES),
          changed=st.sets(st.sampled_from(NAMES), min_size=1, max_size=2), add=st.booleans())  # fmt: skip
    def edit(self, agent: str, path: str, style: str, changed: set[str], add: bool) -> None:
        worker = self.workers[agent]
        if not (self.repo / path).exists():
            return
        self.counter += 1
        text, number = worker.read(path), self.counter
        needs = [path]
        if path.endswith(".py"):
            changed = {name for name in changed if b"def %b():" % name.encode() in text}
            needs = [f"{path}::{name}" for name in sorted(changed)]
            for name in changed:
                head = b"def %b():\n    x = " % name.encode()
                at = text.index(head) + len(head)
                text = text[:at] + b"%d" % number + text[text.index(b"\n", at) :]
            if add and b"def new" not in text:
                text += b"\n\ndef new():\n    pass\n"
                needs.append(f"{path}::new")
        else:
            text += b"line %d\n" % number
        if not needs:
            return
        temporary = {"shadow": f"{path}.tmp.7.0123456789ab", "temporary": f"{path}-7.new"}.get(style)
        if style == "temporary":  # the editor's own file is a name like any other
            needs.append(f"{path}-7.new")
        done = self.attempt(agent, needs, lambda: self._save(worker, path, text, style, temporary))
        if done:
            assert (self.repo / path).read_bytes() == text
        elif temporary:
            with contextlib.suppress(OSError):
                worker.unlink(temporary)

    @staticmethod
    def _save(worker: Process, path: str, text: bytes, style: str, temporary: str | None) -> None:
        if temporary is not None:
            worker.write(temporary, text, os.O_WRONLY | os.O_CREAT | os.O_EXCL)
            worker.rename(temporary, path)
        elif style == "shrink":
            file = worker.open(path, os.O_WRONLY | os.O_CREAT)
            try:
                file.write(0, text)
                file.truncate(len(text))
            finally:
                file.close()
        else:
            flags = os.O_RDWR if style == "rewrite" else os.O_WRONLY | os.O_CREAT | os.O_TRUNC
            worker.write(path, text, flags)

    @rule(agent=st.sampled_from(AGENTS), path=st.sampled_from(FILES))
    def remove_and_make_again(self, agent: str, path: str) -> None:
        worker = self.workers[agent]
        if not (self.repo / path).exists():
            return
        worker.read(path)

        def work() -> None:
            worker.unlink(path)
            worker.write(path, start_text(path))

        self.attempt(agent, [path], work)

    @rule(agent=st.sampled_from(AGENTS))
    def rename_a_file(self, agent: str) -> None:
        worker = self.workers[agent]

        def work() -> None:
            worker.rename("pkg/b.py", "pkg/c.py")
            worker.rename("pkg/c.py", "pkg/b.py")

        self.attempt(agent, ["pkg/b.py", "pkg/c.py"], work)

    @rule(agent=st.sampled_from(AGENTS), path=st.sampled_from(FILES), mode=st.sampled_from([0o644, 0o755]))
    def chmod(self, agent: str, path: str, mode: int) -> None:
        if (self.repo / path).stat().st_mode & 0o777 == mode:
            return
        against = [
            row
            for row in self.grants()
            if row.agent != agent and mode_of(row) in WHOLE and row.address in (path, *above(path))
        ]
        try:
            self.workers[agent].chmod(path, mode)
        except OSError as error:
            must_be_busy(error)
            assert against
        else:
            assert not against

    # ---- what must hold

    @invariant()
    def every_view_shows_the_head(self) -> None:
        for number, agent in enumerate(AGENTS):
            reader = Process(self.caches, agent, 100 + number)
            for path in FILES:
                assert reader.read(path) == (self.repo / path).read_bytes(), (agent, path)

    @invariant()
    def the_table_keeps_its_promises(self) -> None:
        self.kernel.core.locks.table.check()

    def teardown(self) -> None:
        self.caches.close()
        remove(self.folder)


TestLocked = Locked.TestCase
