"""A canvas that expires: no job of it starts after that moment, whether it is a flow or jobs that nothing waits for."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from tests.unit.canvas.stage import Stage
from umbel import chord, group
from umbel.exceptions import TaskRevokedError

STAGE = Stage("canvas-expiry")
add, total = STAGE.add, STAGE.total
MOMENT = datetime(2030, 1, 1, tzinfo=UTC)
UNIX = MOMENT.timestamp()
CHAIN = add.s(1, 1) | add.s(2)
GROUP = group(add.s(n, n) for n in range(3))


def test_a_flow_carries_its_moment_and_its_jobs_none() -> None:
    left = STAGE.leaves(CHAIN, flow_expires=MOMENT)
    assert left.flow is not None
    assert left.flow.expires == UNIX
    assert [each.expires for each in left.envelopes] == [None, None]


def test_the_option_expires_is_still_the_first_steps() -> None:
    left = STAGE.leaves(CHAIN, expires=MOMENT)
    assert left.flow is not None
    assert left.flow.expires is None
    assert [each.expires for each in left.envelopes] == [UNIX, None]


def test_jobs_that_nothing_waits_for_carry_the_moment_themselves() -> None:
    left = STAGE.leaves(GROUP.clone(), flow_expires=MOMENT)
    assert left.flow is None
    assert [each.expires for each in left.envelopes] == [UNIX] * 3
    assert STAGE.leaves(add.s(1, 1), flow_expires=MOMENT).envelopes[0].expires == UNIX


def test_of_two_moments_the_earlier_holds() -> None:
    early, late = UNIX - 60, UNIX + 60
    members = [add.s(1, 1).set(expires=datetime.fromtimestamp(when, UTC)) for when in (early, late)]
    left = STAGE.leaves(group(members), flow_expires=MOMENT)
    assert [each.expires for each in left.envelopes] == [early, UNIX]


def test_a_tasks_own_patience_holds_beside_that_of_the_flow() -> None:
    stage = Stage("canvas-expiry-own")
    stage.add.expires = 10.0
    (envelope,) = stage.leaves(stage.add.s(1, 1), flow_expires=MOMENT).envelopes
    assert envelope.expires == pytest.approx(envelope.created + 10, abs=60)


def test_a_group_of_which_a_part_is_a_flow_expires_as_a_whole() -> None:
    left = STAGE.leaves(group(add.s(1, 1), CHAIN), flow_expires=MOMENT)
    assert left.flow is not None
    assert left.flow.expires == UNIX


@pytest.mark.parametrize(("wrong", "kind"), [("tomorrow", TypeError), (float("inf"), ValueError), (True, TypeError)])
def test_a_wrong_moment_is_told_with_its_name(wrong: Any, kind: type[Exception]) -> None:
    with pytest.raises(kind, match="flow_expires"):
        STAGE.leaves(CHAIN, flow_expires=wrong)


def test_a_task_that_is_called_knows_no_flow() -> None:
    with pytest.raises(TypeError, match="flow_expires"):
        add.apply_async((1, 1), flow_expires=5)  # type: ignore[call-arg]


def test_here_and_now_nothing_starts_after_the_moment_either() -> None:
    assert chord([add.s(1, 1)], total.s()).apply(flow_expires=60).get() == 2
    result = add.s(1, 1).apply(flow_expires=datetime(2020, 1, 1, tzinfo=UTC))
    with pytest.raises(TaskRevokedError):
        result.get()
