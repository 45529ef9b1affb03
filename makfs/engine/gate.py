"""The one gate through which every change of a view goes: its role, its policy, the locks of others.

G1  Nothing of the repository is changed through a view before the gate has said yes, in the same step (E1).
G2  What somebody edits in the repository itself cannot be refused: it is taken in, and whoever holds what it
    changed is told.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from makfs.engine import reasons
from makfs.engine.held import Held, Needs, NotAdmitted
from makfs.engine.needs import needs_of_attributes, needs_of_changes
from makfs.engine.views import View
from makfs.ids import EXTERNAL, Address, RepoPath
from makfs.locks import WRITE, file_address
from makfs.settings import OnWrite
from makfs.syntax.node import NodeChange

if TYPE_CHECKING:
    from makfs.engine.core import Core
    from makfs.engine.edit import Edit


class Forbidden(NotAdmitted):
    """The view's role does not allow it, now or later."""


class Gate:
    """Asks the role, then the locks."""

    def __init__(self, core: "Core") -> None:
        self._core = core

    # ---- writes

    @staticmethod
    def needs(edit: "Edit", changes: Sequence[NodeChange] | None) -> Needs:
        """Return what an edit needs."""
        needs = needs_of_changes(edit.path, changes)
        if edit.removes is None:
            return needs
        removed = file_address(RepoPath(edit.removes))
        return Needs((*needs.writes, removed), needs.joins, needs.touches)

    def write(self, view: View, path: str, needs: Needs) -> None:
        """Let a text be committed now; under `lease` its view holds it from here. Raises NotAdmitted."""
        core = self._core
        if view.agent == EXTERNAL:
            self._tell_holders(path, needs)
            return
        self._ask_role(view, needs)
        core.locks.admit(view.agent, needs, core.policy(view, path), core.lease_ns)

    def names(self, view: View, path: str, needs: Needs) -> None:
        """Let names be made, moved or removed now. Raises NotAdmitted, Held."""
        self.write(view, path, needs)

    def attributes(self, view: View, path: str, *, is_dir: bool) -> None:
        """Let mode, owner, times or extended attributes be changed now. Raises NotAdmitted, Held."""
        self.write(view, path, needs_of_attributes(path, is_dir=is_dir))

    def foresee(self, view: View, path: str, needs: Needs) -> None:
        """As `write`, but nothing is held from here: the commit is still to come. Raises NotAdmitted."""
        core = self._core
        self._ask_role(view, needs)
        policy = core.policy(view, path)
        core.locks.admit(
            view.agent, needs, policy if policy is OnWrite.CLAIM else OnWrite.MERGE, core.lease_ns
        )

    def is_narrow(self, view: View, path: str) -> bool:
        """Tell whether writes to a path can be refused at all. Cost: mostly one comparison."""
        core = self._core
        if view.role is not None or core.policy(view, path) is OnWrite.CLAIM:
            return True
        return core.locks.concerns(view.agent, file_address(RepoPath(path)))

    def _ask_role(self, view: View, needs: Needs) -> None:
        role = view.role
        if role is None:
            return
        wanted = (*needs.all_writes, *needs.touches)
        forbidden = tuple(address for address in wanted if not role.may_write(address))
        if forbidden:
            raise Forbidden(f"the role {role.name} of {view.agent} does not let it.", forbidden)

    # ---- what people are told

    def _tell_holders(self, path: str, needs: Needs) -> None:
        locks = self._core.locks
        now_ns = locks.now_ns()
        conflicts = locks.table.conflicts_of(EXTERNAL, needs.all_writes, WRITE, now_ns=now_ns)
        told: set[tuple[str, Address]] = set()
        for each in conflicts:
            grant = each.grant
            which = max(each.claim.address, grant.address, key=len)  # what it holds, or what changed of it
            if (grant.agent, which) in told:
                continue
            told.add((grant.agent, which))
            locks.tell(
                grant.agent,
                f"{reasons.clock(now_ns)}: {reasons.names([which])}, which you hold, was edited "
                f"directly in the repository. The edit is in; read {path} again.",
            )

    def dropped(self, view: View, path: str, lacking: NotAdmitted) -> None:
        """Tell a view that its formatting of what others hold was left out."""
        self._core.locks.tell(
            view.agent,
            f"{reasons.clock(self._core.locks.now_ns())}: {path} was written, but "
            f"{reasons.names(lacking.addresses)} kept its layout: {lacking} Format it again later.",
        )

    @staticmethod
    def advice(lacking: NotAdmitted, *, is_text: bool = True) -> str:
        """Say what to do about a refusal: of a text that is kept, or of another operation."""
        nothing = f"Nothing was changed{' and your text is kept' if is_text else ''}."
        if isinstance(lacking, Forbidden):
            return f"{nothing} {'Write' if is_text else 'Change'} something that your role allows."
        queue = reasons.how_to_claim(lacking.addresses)
        if isinstance(lacking, Held):
            again = "read the file again and write it again" if is_text else "do it again"
            return (
                f"{nothing} Change something else meanwhile; only what is named here is taken. To be next in "
                f"the queue: {queue}. Then {again}."
            )
        return f"{nothing} First: {queue}. Then {'write it' if is_text else 'do it'} again."
