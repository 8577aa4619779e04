"""What the page of a job tells in order."""

from __future__ import annotations

from umbel.dashboard.pages.job import moments_of
from umbel.history.views import Attempt, JobDetail, JobRow


def test_a_job_was_sent_first_although_the_clock_of_its_sender_is_fast() -> None:
    assert [moment.what for moment in moments_of(detail(sent=400.0))] == ["sent", "started", "failed"]


def test_what_came_after_that_is_told_by_its_time() -> None:
    assert [moment.what for moment in moments_of(detail(sent=90.0, eta=150.0))] == ["sent", "started", "failed", "due"]


def detail(sent: float, eta: float | None = None) -> JobDetail:
    """A job that ran from 100 to 101 s and failed."""
    row = JobRow(
        seq=1,
        id="job",
        task="shop.pay",
        queue="default",
        worker="umbel@far",
        state="failed",
        attempt=1,
        crashes=0,
        priority=0,
        sent=sent,
        eta=eta,
        started=100.0,
        finished=101.0,
        wait=None,
        run=1.0,
        group=None,
        error="ValueError",
        error_text="",
        flow=None,
        retry_of=None,
        progress=None,
        change=1,
        args="[]",
        kwargs="{}",
    )
    failed = Attempt(
        number=1,
        state="failed",
        finished=101.0,
        worker="umbel@far",
        run=1.0,
        wait=None,
        group=None,
        error="ValueError",
        message="",
        traceback="",
    )
    return JobDetail(
        job=row,
        args=None,
        kwargs=None,
        headers=None,
        result=None,
        resendable=True,
        expires=None,
        root=None,
        parent_id=None,
        schedule=None,
        heard=101.0,
        attempts=(failed,),
        parent=None,
        children=(),
        origin=None,
        retries=(),
    )
