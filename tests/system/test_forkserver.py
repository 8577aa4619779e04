"""The supervisor's side of a forkserver that ends before it was asked for anything, or before it has answered."""

from __future__ import annotations

import asyncio
import gc
import os
import signal
from typing import Any

import pytest

from umbel.worker.messages import Moment
from umbel.worker.supervisor.forkserver import Forkserver, ForkserverGone

DEADLINE_SECONDS = 60.0


async def test_a_spare_one_that_ends_is_no_fault_to_be_logged() -> None:
    told: list[dict[str, Any]] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: told.append(context))
    spare = Forkserver.spawn()
    spare.kill()
    await asyncio.wait_for(spare.gone.wait(), DEADLINE_SECONDS)
    del spare
    await asyncio.sleep(0)  # its listener ends behind it
    gc.collect()
    assert told == []


async def test_nobody_waits_for_the_word_of_one_that_has_ended() -> None:
    forkserver = Forkserver.spawn()
    os.kill(forkserver.pid, signal.SIGSTOP)  # it hears nothing, so it answers nothing
    waiting = asyncio.create_task(forkserver.announce(Moment("worker_shutdown")))
    await asyncio.sleep(0)
    forkserver.kill()
    with pytest.raises(ForkserverGone):
        await asyncio.wait_for(waiting, DEADLINE_SECONDS)
