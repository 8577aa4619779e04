"""What runs of a flow that is repeated: the callbacks of its jobs, at every depth, under ids of their own."""

from __future__ import annotations

from tests.unit.canvas.stage import Left, Stage
from umbel import chain
from umbel.canvas.repeating import KeptFlow, KeptJob, repeat
from umbel.canvas.rerun import Terms
from umbel.execution.following import follow_ups
from umbel.model.failure import capture
from umbel.model.ids import new_id
from umbel.model.job import Delivery, Job
from umbel.model.outcome import Failed, Outcome, Succeeded
from umbel.wire.envelope import decode

NOW = 1_000_000.0
CHOSEN = {"link", "deeper", "first", "second", "errback"}


def left() -> Left:
    """A chain whose first job has callbacks and an errback with ids that the caller chose."""
    stage = Stage(f"repeat-{new_id()}")
    add = stage.add
    thank = add.s(1).set(task_id="link")
    thank.link(add.s(2).set(task_id="deeper"))
    first = add.s(1, 2)
    first.link(thank)
    first.link(add.s(3).set(task_id="first") | add.s(4).set(task_id="second"))
    first.link_error(add.si(1, 1).set(task_id="errback"))
    return stage.leaves(chain(first, add.s(5)))


def follow(job: Job, outcome: Outcome) -> set[str]:
    """The ids of all that *outcome* of *job* sends, and what these would send."""
    found, waiting = set[str](), [(job.id, decode(job.envelope))]
    while waiting:
        job_id, envelope = waiting.pop()
        for sent in follow_ups(Delivery(job_id, "q", 9, 1, b""), envelope, outcome, NOW):
            found.add(sent.id)
            waiting.append((sent.id, decode(sent.envelope)))
    return found


def test_no_callback_of_a_repeated_flow_has_the_id_of_the_first_time() -> None:
    sent = left()
    assert sent.flow is not None
    kept = [KeptJob(job.id, "add", job.queue, job.envelope) for job in sent.jobs]
    flow = KeptFlow(sent.flow.id, "done", len(kept), kept)
    for outcome in (Succeeded(b"\xc0"), Failed(capture(ValueError("no")))):
        once, twice = (repeat(flow, action, Terms(NOW, 60.0, None))[1].jobs[0][1] for action in ("a", "b"))
        old, new = follow(sent.jobs[0], outcome), follow(once, outcome)
        assert len(new) == len(old) == (3 if isinstance(outcome, Succeeded) else 1)
        assert isinstance(outcome, Failed) or old & CHOSEN  # the first time they count
        assert not new & (old | CHOSEN)
        assert not new & follow(twice, outcome)
