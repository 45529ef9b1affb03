"""The lock table's promises, asserted from its grants and waiters alone; `table` lists them."""

from makfs.ids import Address, AgentId
from makfs.locks import graph
from makfs.locks.address import lineage
from makfs.locks.book import Book
from makfs.locks.modes import INTENT, UNIT


def check_book(book: Book, now_ns: int, fence: int) -> None:
    """Assert L1, L3, L4, L6 and L7. Cost: about the square of what is held and waited for."""
    grants = list(book.all_grants())
    assert len(grants) == book.grants, "L7: count"
    expected: dict[Address, dict[AgentId, int]] = {}
    for grant in grants:
        assert book.held[grant.agent][grant.address] is grant, "L7: held"
        assert grant.fence <= fence, "L4"
        assert book.end_of(grant) > now_ns, "L6: lease"
        assert not book.conflicts(grant.agent, grant.claim, now_ns), "L1"
        for above in lineage(grant.address):
            unit = UNIT[grant.mode if above == grant.address else INTENT[grant.mode]]
            own = expected.setdefault(above, {})
            own[grant.agent] = own.get(grant.agent, 0) + unit
    book.spots.check(expected, book.waiting.values())
    assert all(book.held.values()), "L7: empty"
    assert all(book.queues.values()), "L7: empty"
    for agent, mine in book.queues.items():
        for ticket, waiting in mine.items():
            assert book.waiting[ticket] is waiting, "L7: waiting"
            assert waiting.agent == agent, "L7: waiting"
            assert waiting.waiter.until_ns > now_ns, "L6: patience"
        assert graph.is_acyclic_at(book, agent), f"L3: {agent}"
    assert sum(map(len, book.queues.values())) == len(book.waiting), "L7: waiting"
    assert book.active_ns.keys() <= book.held.keys(), "L7: active"
    dues = {due[2:] for due in book.due}
    assert all((grant.fence, grant.agent, grant.address) in dues for grant in grants), "B2"
