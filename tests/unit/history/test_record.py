import random
from collections.abc import Mapping

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from umbel.history.record import JobRecord, Sight, first_seen, fold
from umbel.history.states import name_of
from umbel.model.event import Event, Kind

NOW = 1_000.0
KINDS: tuple[Kind, ...] = (
    "task-sent", "task-received", "task-started", "task-progress", "task-succeeded", "task-failed", "task-retried",
    "task-revoked", "task-rejected", "task-dead", "task-expired",
)  # fmt: skip

_facts = {"flow": "f", "root": "r", "parent": "p", "priority": 3, "expires": 9_999.0}
"""What a job is does not change; who tells of it tells the same."""


def _event(kind: Kind, attempt: int, at: float, body: Mapping[str, object]) -> Event:
    return Event(kind, at, "job", "t", "q", attempt, {**body, **(_facts if kind == "task-sent" else {})})


_bodies = st.fixed_dictionaries(
    {}, optional={"run": st.sampled_from([0.5, 2.0]), "wait": st.sampled_from([0.1, 0.2]), "crashes": st.integers(0, 3)}
)
# One worker, and one error, an attempt; no two events at one moment.
_events = st.lists(
    st.tuples(st.sampled_from(KINDS), st.integers(0, 3), st.integers(1, 900), _bodies),
    min_size=1,
    max_size=8,
    unique_by=lambda each: each[2],
).map(lambda found: [_event(kind, attempt, float(at), body) for kind, attempt, at, body in found])


def _folded(events: list[Event]) -> JobRecord:
    sights = [
        Sight(each, 1, 2, 10 + each.attempt if each.kind != "task-sent" else 0, NOW,
              20 + each.attempt if each.kind in ("task-failed", "task-retried", "task-dead") else None)
        for each in events
    ]  # fmt: skip
    record = first_seen(1, sights[0])
    for sight in sights:
        fold(record, sight)
    return record


@given(_events, st.randoms(use_true_random=False))
def test_events_give_the_same_record_in_any_order_and_repeated(events: list[Event], chance: random.Random) -> None:
    shuffled = [*events, *chance.sample(events, len(events))]
    chance.shuffle(shuffled)
    assert msgspec.structs.asdict(_folded(shuffled)) == msgspec.structs.asdict(_folded(events))


@given(_events)
def test_a_record_never_goes_back(events: list[Event]) -> None:
    record = first_seen(1, Sight(events[0], 1, 2, 0, NOW))
    before = (-1, -1, -1)
    for event in events:
        fold(record, Sight(event, 1, 2, 0, NOW))
        after = (record.grade, record.attempt, record.level)
        assert after >= before
        before = after


def test_the_first_end_counts() -> None:
    done = _event("task-succeeded", 1, 10.0, {"run": 1.0})
    late = _event("task-failed", 1, 11.0, {"run": 2.0})
    for order in ([done, late], [late, done]):
        record = _folded(order)
        assert (name_of(record.state), record.finished_at, record.run_ms) == ("succeeded", 10.0, 1_000)


def test_a_job_with_an_eta_is_scheduled_until_it_starts() -> None:
    sent = _event("task-sent", 0, 10.0, {"eta": 500.0})
    assert name_of(_folded([sent]).state) == "scheduled"
    assert name_of(_folded([_event("task-started", 1, 510.0, {}), sent]).state) == "running"
