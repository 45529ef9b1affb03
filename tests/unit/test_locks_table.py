"""LockTable where an example says it best: L4, L5, L6, L8, bad input, fencing (K3), restarts (R1, R2)."""

from dataclasses import replace

import pytest

from makfs.ids import Address, AgentId
from makfs.locks import (
    READ,
    WRITE,
    BadAddress,
    BadClaim,
    BadRows,
    Claim,
    Decision,
    Grant,
    LockTable,
    Mode,
    NotHeld,
    Row,
    Rows,
    What,
)

SECOND = 1_000_000_000
ALICE, BOB, CAROL = AgentId("alice"), AgentId("bob"), AgentId("carol")
F, G = Address("a.py::f"), Address("a.py::g")


def ask(
    table: LockTable,
    agent: AgentId,
    *addresses: str,
    now_s: float = 0,
    lease_s: float = 5,
    wait_s: float = 0,
    mode: Mode = WRITE,
) -> Decision:
    claims = [Claim(Address(address), mode) for address in addresses]
    return table.request(
        agent,
        claims,
        now_ns=int(now_s * SECOND),
        lease_ns=int(lease_s * SECOND),
        wait_ns=int(wait_s * SECOND),
    )


def test_paused_holder_cannot_pass_validation_over_a_newer_holder_k3() -> None:
    table = LockTable()
    paused = ask(table, ALICE, F).grants[0]
    assert table.objections(ALICE, paused.fence, [F], WRITE, now_ns=4 * SECOND) == ()
    newer = ask(table, BOB, F, now_s=6).grants[0]
    assert newer.fence > paused.fence
    (objection,) = table.objections(ALICE, paused.fence, [F], WRITE, now_ns=7 * SECOND)
    assert "bob holds write on a.py::f" in objection
    assert table.objections(BOB, newer.fence, [F], WRITE, now_ns=7 * SECOND) == ()


def test_paused_holder_is_over_although_nobody_swept_and_nobody_came_k3() -> None:
    table = LockTable()
    paused = ask(table, ALICE, F).grants[0]
    assert table.objections(ALICE, paused.fence, [F], WRITE, now_ns=5 * SECOND)
    assert table.covering(ALICE, F, WRITE, now_ns=5 * SECOND) is None
    assert table.holders(now_ns=5 * SECOND) == ()
    assert table.conflicts_of(BOB, [F], WRITE, now_ns=5 * SECOND) == ()


def test_paused_holder_stays_over_when_it_claims_again_after_another_came_and_went_k3() -> None:
    table = LockTable()
    paused = ask(table, ALICE, F).grants[0]
    ask(table, BOB, F, now_s=6)
    table.release(BOB, [F], now_ns=7 * SECOND)
    again = ask(table, ALICE, F, now_s=8).grants[0]
    assert table.objections(ALICE, paused.fence, [F], WRITE, now_ns=8 * SECOND)
    assert table.objections(ALICE, again.fence, [F], WRITE, now_ns=8 * SECOND) == ()


def test_fence_of_a_file_covers_its_nodes_in_the_mode_held() -> None:
    table = LockTable()
    read = ask(table, ALICE, "a.py", mode=READ).grants[0]
    assert table.objections(ALICE, read.fence, [F, G], READ, now_ns=0) == ()
    assert len(table.objections(ALICE, read.fence, [F, G], WRITE, now_ns=0)) == 2
    write = ask(table, ALICE, "a.py").grants[0]
    assert write.fence > read.fence, "L4"
    assert table.objections(ALICE, write.fence, [F, G], WRITE, now_ns=0) == ()
    covering = table.covering(ALICE, F, WRITE, now_ns=0)
    assert covering is not None
    assert covering.address == "a.py"


def test_fences_grow_over_releases_and_restarts_l4() -> None:
    table = LockTable()
    first = ask(table, ALICE, F).grants[0].fence
    table.release(ALICE, now_ns=0)
    table, _ = LockTable.from_rows(table.to_rows(), now_ns=0)
    assert ask(table, BOB, F).grants[0].fence > first


def test_set_of_claims_has_one_fence_and_each_address_once() -> None:
    table = LockTable()
    claims = [Claim(F, READ), Claim(F, Mode.IX), Claim(G, WRITE)]
    decision = table.request(ALICE, claims, now_ns=0, lease_ns=SECOND)
    assert [grant.claim for grant in decision.grants] == [Claim(F, Mode.SIX), Claim(G, WRITE)]
    assert len({grant.fence for grant in decision.grants}) == 1


@pytest.mark.parametrize(
    ("changed", "says"),
    [
        ({"lease_ns": 0}, "A lease of 0 s is not accepted"),
        ({"lease_ns": -1}, "is not accepted: more than 0 s and at most 86400 s are."),
        ({"lease_ns": 365 * 86_400 * SECOND}, "A lease of 3.1536e+07 s is not accepted"),
        ({"wait_ns": -1}, "A wait of -1e-09 s is not accepted: 0 to 86400 s are."),
        ({"wait_ns": 90_000 * SECOND}, "A wait of 90000 s is not accepted"),
        ({"priority": 10}, "Priority 10 is not accepted: -9 to 9 are."),
        ({"claims": []}, "A request has 1 to 10000 claims, not 0."),
        ({"claims": [Claim(F, WRITE), Claim(Address("/x"), WRITE)]}, "'/x' is not an address"),
    ],
)
def test_bad_request_gets_one_sentence_and_changes_nothing(changed: dict[str, object], says: str) -> None:
    table = LockTable()
    ask(table, BOB, G)
    known = table.to_rows()
    asked = {"claims": [Claim(F, WRITE)], "now_ns": 99 * SECOND, "lease_ns": SECOND} | changed
    with pytest.raises((BadClaim, BadAddress)) as refused:
        table.request(ALICE, **asked)  # type: ignore[arg-type]
    assert says in str(refused.value)
    assert table.to_rows() == known


def test_ending_what_is_not_held_gets_one_sentence_and_changes_nothing() -> None:
    table = LockTable()
    ask(table, ALICE, F, G)
    ask(table, BOB, F, wait_s=10)
    table.release(ALICE, [G], now_ns=0)
    known = table.to_rows()
    with pytest.raises(NotHeld, match=r"^alice does not hold a\.py::g\.$"):
        table.release(ALICE, [F, G], now_ns=99 * SECOND)
    with pytest.raises(NotHeld):
        table.renew(ALICE, [G], now_ns=99 * SECOND)
    with pytest.raises(NotHeld, match=r"^No request number 7 waits\.$"):
        table.cancel(7, now_ns=99 * SECOND)
    with pytest.raises(BadClaim, match="write is not weaker"):
        table.downgrade(ALICE, F, WRITE, now_ns=99 * SECOND)
    with pytest.raises(BadClaim, match="A lease of 0 s"):
        table.renew(ALICE, now_ns=99 * SECOND, lease_ns=0)
    assert table.to_rows() == known


def test_nothing_to_end_is_fine_for_the_dead_and_for_all() -> None:
    table = LockTable()
    assert table.bury(ALICE, now_ns=0) == ()
    assert table.release(ALICE, now_ns=0) == ()
    assert table.next_due_ns() is None


def test_next_due_is_when_the_first_lease_or_patience_ends() -> None:
    table = LockTable()
    ask(table, ALICE, F, lease_s=5)
    assert table.next_due_ns() == 5 * SECOND
    ask(table, BOB, F, wait_s=2)
    assert table.next_due_ns() == 2 * SECOND
    (event,) = table.expire(now_ns=2 * SECOND)
    assert event.what is What.GAVE_UP
    assert event.sentence == "bob: gave up: write on a.py::f after 2 s in the queue."
    (event,) = table.expire(now_ns=9 * SECOND)
    assert event.sentence == "alice: expired: write on a.py::f, unrenewed for 5 s."
    assert table.next_due_ns() is None


def test_time_that_goes_back_stands_still_l6() -> None:
    table = LockTable()
    ask(table, ALICE, F, now_s=100)
    grant = ask(table, BOB, G, now_s=1).grants[0]
    assert grant.expires_ns == 105 * SECOND
    assert table.expire(now_ns=3) == ()


def test_table_nobody_uses_is_empty_again_l7() -> None:
    table = LockTable()
    for number in range(500):
        ask(table, ALICE, f"pkg{number}/a.py::f", lease_s=3600)
        ask(table, BOB, f"pkg{number}/", wait_s=3600)
    table.bury(BOB, now_ns=0)
    table.bury(ALICE, now_ns=0)
    table.check()
    assert not table._book.spots  # pyright: ignore[reportPrivateUsage]
    for _ in range(500):  # long leases that end early leave nothing behind but this
        ask(table, ALICE, F, lease_s=3600)
        table.release(ALICE, now_ns=0)
    assert len(table._book.due) <= 66  # pyright: ignore[reportPrivateUsage]


def history(table: LockTable) -> list[object]:
    """Let some agents contend; return every answer."""
    answers: list[object] = []
    for number in range(300):
        agent = AgentId(f"agent{number * 7 % 11}")
        where = [f"m{number * 5 % 4}.py::C.f{number * 3 % 5}", f"m{number % 3}.py"]
        answers.append(ask(table, agent, *where[: 1 + number % 2], now_s=number / 4, wait_s=9, lease_s=2))
        if number % 13 == 0:
            answers.append(table.bury(agent, now_ns=number * SECOND // 4))
    return answers


def test_equal_calls_give_equal_answers_l8() -> None:
    first = history(LockTable())
    assert first == history(LockTable())
    found = [answer.what for answer in first if isinstance(answer, Decision)]
    assert {What.GRANTED, What.QUEUED, What.REFUSED} <= set(found)


def test_restart_keeps_grants_waiters_their_order_and_their_leases_r1() -> None:
    table = LockTable()
    ask(table, ALICE, F, lease_s=5)
    ask(table, BOB, F, "b.py", wait_s=30)
    ask(table, CAROL, F, wait_s=30, mode=READ)
    again, events = LockTable.from_rows(table.to_rows(), now_ns=SECOND)
    assert events == ()
    assert again.to_rows() == table.to_rows()
    expired, promoted = again.expire(now_ns=5 * SECOND)
    assert (expired.what, expired.agent) == (What.EXPIRED, ALICE)
    assert (promoted.what, promoted.agent) == (What.PROMOTED, BOB)
    again.check()


def test_restart_long_after_tells_what_ended_and_who_goes_on_r1() -> None:
    table = LockTable()
    ask(table, ALICE, F, lease_s=5)
    ask(table, BOB, F, wait_s=30, lease_s=5)
    again, events = LockTable.from_rows(table.to_rows(), now_ns=20 * SECOND)
    assert [event.what for event in events] == [What.EXPIRED, What.PROMOTED]
    assert again.holders(now_ns=20 * SECOND)[0].expires_ns == 25 * SECOND


def test_restart_on_a_clock_that_began_anew_moves_all_times_r1() -> None:
    table = LockTable()
    ask(table, ALICE, F, now_s=1000)
    ask(table, BOB, F, now_s=1001, wait_s=30)
    again, _ = LockTable.from_rows(table.to_rows(), now_ns=2 * SECOND, shift_ns=-1000 * SECOND)
    assert again.holders(now_ns=2 * SECOND)[0].expires_ns == 5 * SECOND
    assert again.waiters()[0].until_ns == 31 * SECOND


def row(agent: str, address: str, mode: str, fence: int, **more: int) -> Row:
    times: dict[str, str | int] = {"since_ns": 0, "lease_ns": SECOND, "expires_ns": SECOND, "while_active": 0}
    return {**times, "agent": agent, "address": address, "mode": mode, "fence": fence, **more}


@pytest.mark.parametrize(
    ("rows", "says"),
    [
        ([row("alice", "a.py", "X", 1), row("bob", "a.py::f", "S", 2)], "clashes with another"),
        ([row("alice", "a.py", "X", 1), row("alice", "a.py", "X", 2)], "two grants of alice on a.py"),
        ([row("alice", "a.py", "Z", 1)], "no address or no mode"),
        ([row("alice", "/a.py", "X", 1)], "is not an address"),
        ([row("", "a.py", "X", 1)], "no agent"),
        ([{"agent": "alice", "address": "a.py", "mode": "X"}], "no number fence"),
    ],
)
def test_damaged_rows_are_one_sentence_r2(rows: list[Row], says: str) -> None:
    with pytest.raises(BadRows) as refused:
        LockTable.from_rows(Rows(9, 9, tuple(rows), ()), now_ns=0)
    assert says in str(refused.value)


def test_stored_deadlock_is_one_sentence_r2() -> None:
    waiting: dict[str, str | int] = {
        "arrived_ns": 0,
        "until_ns": 9,
        "lease_ns": 9,
        "priority": 0,
        "mode": "X",
    }
    waiters: list[Row] = [
        waiting | {"ticket": 1, "agent": "alice", "address": "b.py"},
        waiting | {"ticket": 2, "agent": "bob", "address": "a.py"},
    ]
    grants = (row("alice", "a.py", "X", 1), row("bob", "b.py", "X", 2))
    with pytest.raises(BadRows, match="deadlock"):
        LockTable.from_rows(Rows(2, 2, grants, tuple(waiters)), now_ns=0)


def test_decision_tells_all_that_happened_its_own_event_first() -> None:
    table = LockTable()
    ask(table, ALICE, F, lease_s=1)
    decision = ask(table, BOB, F, now_s=2)
    assert [event.what for event in decision.events] == [What.GRANTED, What.EXPIRED]
    assert decision.sentence == "bob holds write on a.py::f."
    refused = ask(table, CAROL, *(f"a.py::{name}" for name in "fghi"), now_s=3)
    assert refused.sentence == (
        "carol was refused write on a.py::f, write on a.py::g, write on a.py::h and 1 more: "
        "bob holds write on a.py::f for another 4 s."
    )


def test_grant_is_a_value() -> None:
    grant = ask(LockTable(), ALICE, F).grants[0]
    assert replace(grant) == grant
    assert isinstance(grant, Grant)
    with pytest.raises(AttributeError):
        grant.mode = READ  # type: ignore[misc]


@pytest.mark.parametrize("held", Mode)
@pytest.mark.parametrize("asked", Mode)
def test_holding_a_file_covers_its_nodes_as_its_mode_says(held: Mode, asked: Mode) -> None:
    table = LockTable()
    ask(table, ALICE, "a.py", mode=held)
    covers = held is Mode.X or (held in (Mode.S, Mode.SIX) and asked in (Mode.S, Mode.IS))
    assert (table.covering(ALICE, F, asked, now_ns=0) is not None) == covers
    assert table.covering(BOB, F, asked, now_ns=0) is None
    assert table.covering(ALICE, Address("b.py::f"), asked, now_ns=0) is None


def test_late_release_does_not_end_what_the_agent_was_given_meanwhile() -> None:
    table = LockTable()
    ask(table, ALICE, F, mode=READ)
    ask(table, BOB, F, mode=READ)
    ask(table, ALICE, F, now_s=1, wait_s=15)
    events = table.release(ALICE, [F], now_ns=6 * SECOND)
    assert [event.what for event in events] == [What.EXPIRED, What.EXPIRED, What.PROMOTED]
    assert [grant.claim for grant in table.grants_of(ALICE, now_ns=6 * SECOND)] == [Claim(F, WRITE)]
