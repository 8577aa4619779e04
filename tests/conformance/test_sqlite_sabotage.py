"""Each protection in the statements is shown to be necessary: without it, the promise beside it breaks."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from umbel.brokers.sqlite import SqliteBroker, operations, revoking, sessions
from umbel.contracts.broker import Beat, Ended, Settlement
from umbel.engines.sqlite_file import File
from umbel.model.ids import new_session
from umbel.model.job import Counts, Delivery, Job
from umbel.stores.sqlite import SqliteStore

LEASE = 60.0


class Stage:
    """A broker on a file, with one job that a session holds."""

    def __init__(self, path: Path) -> None:
        self.broker = SqliteBroker(File(f"sqlite:///{path}", "broker_url", 30.0))
        self.store = SqliteStore(File(f"sqlite:///{path}", "result_backend", 30.0))

    def close(self) -> None:
        self.broker.close()
        self.store.close()

    async def open(self) -> str:
        session = new_session()
        await self.broker.heartbeat([Beat(session)], ["q"], LEASE, opening=True)
        return session

    async def take(self, session: str, limit: int = 1) -> list[Delivery]:
        return await self.broker.receive(session, ["q"], limit, wait=0)

    async def started(self) -> tuple[str, Delivery]:
        self.broker.send([Job("job", "q", b"")])
        session = await self.open()
        return session, (await self.take(session))[0]

    async def end(self, session: str, delivery: Delivery, record: bytes = b"record") -> bool:
        return (await self.broker.settle(session, [Settlement(delivery, "end", record=record, ttl=60.0)]))[0]


async def a_stale_delivery_is_refused(stage: Stage) -> bool:
    session, old = await stage.started()
    await stage.broker.settle(session, [Settlement(old, "release")])
    await stage.take(session)
    return not await stage.end(session, old) and stage.broker.locate("job", None).place == "running"


async def a_stale_retry_is_refused(stage: Stage) -> bool:
    session, old = await stage.started()
    await stage.broker.settle(session, [Settlement(old, "release")])
    await stage.take(session)
    return await stage.broker.settle(session, [Settlement(old, "retry")]) == [False]


async def another_session_is_refused(stage: Stage) -> bool:
    _, delivery = await stage.started()
    return not await stage.end(await stage.open(), delivery)


async def a_dead_session_is_refused(stage: Stage) -> bool:
    stage.broker.send([Job(str(number), "q", b"") for number in range(sessions.MAX_MOVED + 1)])
    session = await stage.open()
    await stage.take(session, 256)
    await stage.broker.reclaim(["q"], LEASE, [Ended(session)])  # moves 200: one is still held
    [left] = [each for each in map(str, range(201)) if stage.broker.locate(each, None).place == "running"]
    return not await stage.end(session, Delivery(left, "q", 9, 1, b""))


async def an_ended_job_is_not_made_again(stage: Stage) -> bool:
    session, delivery = await stage.started()
    await stage.end(session, delivery)
    stage.broker.send([Job("job", "q", b"")])
    return await stage.take(session) == []


async def a_known_job_is_kept_as_it_is(stage: Stage) -> bool:
    session, _ = await stage.started()
    try:
        stage.broker.send([Job("job", "q", b"again")])
    except Exception:  # noqa: BLE001 - whatever it is, a repeated send must not fail
        return False
    return await stage.take(session) == []


async def the_first_record_stays(stage: Stage) -> bool:
    session, delivery = await stage.started()
    await stage.end(session, delivery, b"first")
    stage.store.forget("job", None)
    stage.broker.send([Job("job", "q", b"")])
    [again] = await stage.take(session)
    other = SqliteStore(stage.store._engine.file)
    stage.store._engine.call(
        lambda c: c.execute(operations.SETTLE["record"], ("job", 9**15, "", b"early", 0)).fetchall()
    )
    await stage.end(session, again, b"late")
    found = other.fetch("job", None)
    other.close()
    return found == b"early"


async def a_marked_job_is_charged_a_crash(stage: Stage) -> bool:
    session, delivery = await stage.started()
    await stage.broker.mark(session, delivery)
    await stage.broker.reclaim(["q"], LEASE)
    stage.broker._engine.call(lambda c: c.execute(sessions.RECLAIM["bury"], (1, _key(c, session))).fetchall())
    await stage.broker.reclaim(["q"], LEASE)
    [again] = await stage.take(await stage.open())
    return again.counts == Counts(crashes=1)


async def a_returned_job_is_in_front(stage: Stage) -> bool:
    session, _ = await stage.started()
    stage.broker.send([Job("later", "q", b"")])
    await stage.broker.reclaim(["q"], LEASE, [Ended(session)])
    return [each.id for each in await stage.take(await stage.open(), 2)] == ["job", "later"]


async def _doomed(stage: Stage) -> tuple[str, Delivery]:
    """A session that holds a job which was revoked meanwhile."""
    session, delivery = await stage.started()
    await stage.broker.job_store.arevoke(new_session(), [("job", "q")], LEASE)
    return session, delivery


async def a_doomed_job_waits_for_no_time(stage: Stage) -> bool:
    session, delivery = await _doomed(stage)
    await stage.broker.settle(session, [Settlement(delivery, "retry", delay=60.0)])
    return stage.broker.locate("job", None).place == "ready"


async def doom_outlives_a_retry(stage: Stage) -> bool:
    session, delivery = await _doomed(stage)
    await stage.broker.settle(session, [Settlement(delivery, "retry", counts=Counts(retries=1))])
    return stage.broker.locate("job", None).doom == "revoked"


async def the_first_doom_stays(stage: Stage) -> bool:
    session, _ = await _doomed(stage)
    await stage.broker.reclaim(["q"], LEASE, [Ended(session, (), (("job", "timeout"),))])
    return stage.broker.locate("job", None).doom == "revoked"


async def only_what_an_ended_session_held_is_doomed(stage: Stage) -> bool:
    await stage.started()
    await stage.broker.reclaim(["q"], LEASE, [Ended(await stage.open(), (), (("job", "timeout"),))])
    return stage.broker.locate("job", None).doom == ""


async def a_running_job_is_not_revived(stage: Stage) -> bool:
    await stage.started()
    return await stage.broker.job_store.arevive("q", ["job"]) == [False]


async def a_running_job_is_not_discarded(stage: Stage) -> bool:
    await stage.started()
    return await stage.broker.job_store.adiscard("q", ["job"]) == [False]


async def a_stale_note_is_refused(stage: Stage) -> bool:
    session, old = await stage.started()
    await stage.broker.settle(session, [Settlement(old, "release")])
    await stage.take(session)
    return await stage.broker.job_store.note(session, [(old, b"note")]) == [False]


async def a_paused_queue_hands_out_nothing(stage: Stage) -> bool:
    stage.broker.send([Job("job", "q", b"")])
    await stage.broker.job_store.apause("q", paused=True)
    return await stage.take(await stage.open()) == []


async def a_revoked_job_is_received_by_nobody(stage: Stage) -> bool:
    stage.broker.send([Job("job", "q", b"")])
    await stage.broker.job_store.arevoke(new_session(), [("job", "q")], LEASE)
    return await stage.take(await stage.open()) == []


def _key(connection: object, session: str) -> int:
    return operations.places(connection, session)["q"].key  # type: ignore[arg-type]


Promise = Callable[[Stage], Awaitable[bool]]
Statements = dict[str, str]
AT_ONCE = """state = case when doom > 0 and ?4 in (3, 4) then 0 else ?4 end,
    due = case when doom > 0 and ?4 = 4 then 0 else ?6 end"""
SABOTAGE: list[tuple[Promise, Statements, str, str, str]] = [
    (a_stale_delivery_is_refused, operations.SETTLE, "end", "number = ?3", "?3 = ?3"),
    (a_stale_retry_is_refused, operations.SETTLE, "move", "and number = ?3", "and ?3 = ?3"),
    (another_session_is_refused, operations.SETTLE, "end", "session = ?2", "?2 = ?2"),
    (a_dead_session_is_refused, operations.RECEIVE, "session", "ended is null", "true"),
    (an_ended_job_is_not_made_again, operations.SEND, "insert", "expires > ?8", "expires > ?8 and false"),
    (a_known_job_is_kept_as_it_is, operations.SEND, "insert", "do nothing", "do update set state = 0"),
    (the_first_record_stays, operations.SETTLE, "record", "where expires <= ?5", "where ?5 = ?5"),
    (a_marked_job_is_charged_a_crash, operations.SETTLE, "mark", "marked = 1", "marked = 0"),
    (a_doomed_job_waits_for_no_time, operations.SETTLE, "move", AT_ONCE, "state = ?4, due = ?6"),
    (doom_outlives_a_retry, operations.SETTLE, "move", "case doom when 0 then ?12 else doom end", "?12"),
    (the_first_doom_stays, sessions.RECLAIM, "doom", "and doom = 0", ""),
    (only_what_an_ended_session_held_is_doomed, sessions.RECLAIM, "doom", "session = ?3", "?3 = ?3"),
    (a_running_job_is_not_revived, revoking.JOBS, "revive", "and state = 2", ""),
    (a_running_job_is_not_discarded, revoking.JOBS, "discard", "and state = 2", ""),
    (a_stale_note_is_refused, revoking.JOBS, "note", "number = ?3", "?3 = ?3"),
    (a_paused_queue_hands_out_nothing, operations.RECEIVE, "open", "select paused", "select 0"),
    (a_revoked_job_is_received_by_nobody, revoking.JOBS, "seize", "set state = 1, ", "set "),
    (a_returned_job_is_in_front, sessions.RECLAIM, "back", "back = 1", "back = 1, position = position + 1000000000"),
]
NAMES = [promise.__name__ for promise, *_ in SABOTAGE]


@pytest.mark.parametrize(("promise", "statements", "name", "sound", "broken"), SABOTAGE, ids=NAMES)
async def test_a_promise_holds_and_breaks_without_its_protection(
    promise: Promise, statements: Statements, name: str, sound: str, broken: str, tmp_path: Path
) -> None:
    honest = Stage(tmp_path / "honest.db")
    assert await promise(honest)
    honest.close()

    assert statements[name].count(sound) == 1
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(statements, name, statements[name].replace(sound, broken))
        sabotaged = Stage(tmp_path / "sabotaged.db")
        assert not await promise(sabotaged)
        sabotaged.close()
