from collections.abc import Sequence

import msgspec
import pytest

from umbel.app.survey import survey
from umbel.cli.survey import as_text
from umbel.contracts.powers import Location, QueueCounts, SessionInfo
from umbel.model import presence
from umbel.model.presence import Presence, RunningJob
from umbel.wire.envelope import Envelope, encode

NOW = 1_800_000_000.0


class Engine:
    """An engine that tells what it is given."""

    def __init__(self, counts: Sequence[QueueCounts] = (), sessions: Sequence[SessionInfo] = ()) -> None:
        self._counts = counts
        self._sessions = sessions

    async def queues(self) -> list[str]:
        return [each.queue for each in self._counts]

    async def counts(self, queues: Sequence[str]) -> list[QueueCounts]:
        return [each for each in self._counts if each.queue in queues]

    async def sessions(self, queues: Sequence[str]) -> list[SessionInfo]:
        return list(self._sessions)

    def locate(self, job_id: str, queue: str | None) -> Location:
        return Location("unknown")

    async def alocate(self, job_id: str, queue: str | None) -> Location:
        return Location("unknown")


@pytest.fixture(autouse=True)
def _frozen(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("umbel.app.survey.time.time", lambda: NOW)


def child(pid: int, *running: RunningJob, worker: str = "umbel@here") -> SessionInfo:
    told = Presence(worker, "here", 10, pid, 1, 100, NOW - 75, ("default",), running)
    return SessionInfo(f"s{pid}", presence.encode(told), 12.0, tuple(job.id for job in running))


async def test_the_oldest_job_has_the_age_of_its_envelope() -> None:
    counts = QueueCounts("default", ready=3, oldest=encode(Envelope("t", created=NOW - 90)))
    found = await survey(Engine([counts]), "memory://")
    assert found.queues[0].oldest_seconds == 90
    assert "1m 30s" in as_text(found)


async def test_an_unreadable_oldest_job_has_no_age() -> None:
    found = await survey(Engine([QueueCounts("default", ready=1, oldest=b"\xff\x00garbage")]), "memory://")
    assert found.queues[0].oldest_seconds is None


async def test_children_stand_under_their_worker_with_their_jobs() -> None:
    sessions = [child(12, RunningJob("id-1", "tasks.add", NOW - 3)), child(11), child(13, worker="other@here")]
    found = await survey(Engine((), sessions), "memory://")
    assert [(worker.worker, [each.pid for each in worker.children]) for worker in found.workers] == [
        ("other@here", [13]),
        ("umbel@here", [11, 12]),
    ]
    assert "    tasks.add[id-1]  3.0s" in as_text(found).splitlines()


async def test_a_session_with_a_strange_info_is_shown_all_the_same() -> None:
    found = await survey(Engine((), [SessionInfo("s", b"not a presence", 3.0, ("a", "b"))]), "memory://")
    assert found.workers[0].worker == "?"
    assert found.workers[0].children[0].leased == 2


async def test_nothing_at_all_is_said_in_words() -> None:
    text = as_text(await survey(Engine(), "memory://"))
    assert "no queue was used yet" in text
    assert "no worker is running" in text


async def test_the_survey_is_json() -> None:
    found = await survey(
        Engine([QueueCounts("q", ready=1)], [child(1, RunningJob("i", "t", NOW - 1))]), "redis://h:1/0"
    )
    data = msgspec.json.decode(msgspec.json.encode(found))
    assert data["broker"] == "redis://h:1/0"
    assert data["queues"][0] == {
        "queue": "q", "ready": 1, "delayed": 0, "held": 0, "running": 0, "parked": 0, "dead": 0,
        "oldest_seconds": None,
    }  # fmt: skip
    assert data["workers"][0]["children"][0]["running"] == [{"id": "i", "task": "t", "seconds": 1.0}]
