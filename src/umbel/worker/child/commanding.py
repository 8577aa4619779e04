"""Commanding: what a child is ordered itself, which is to run commands of the app, or to tell what it holds.

It goes on beside its jobs. Whatever commands do, there is an answer.
"""

from __future__ import annotations

import asyncio
import contextlib
import inspect
import logging
import threading
from collections.abc import Callable, Mapping
from contextvars import copy_context
from functools import partial
from itertools import islice
from typing import Any, Final

import msgspec

from umbel.app.app import Umbel
from umbel.app.commands import State
from umbel.contracts.jobs import Listed
from umbel.model.job import Delivery
from umbel.wire.letters import HELD
from umbel.worker.messages import Command, Obeyed

MAX_BYTES: Final = 256 * 1024
"""The longest answer of one command."""
MAX_HELD: Final = 1_000
"""The most jobs that a child tells of."""
MAX_ENVELOPES: Final = 128 * 1024
"""The most bytes of envelopes with them; jobs beyond are told of without."""

_logger: Final = logging.getLogger("umbel.worker")


async def obey(app: Umbel, order: Command, worker: str, held: Mapping[str, Delivery]) -> Obeyed:
    """Run *order*: a function in a thread, a coroutine in this loop; *held* is what this child holds, by id."""
    if order.name == HELD:
        return Obeyed(order.number, value=_listed(held))
    known = app.commands.get(order.name)
    if known is None:
        return Obeyed(order.number, unknown=True)
    state = State(app, worker)
    try:
        if inspect.iscoroutinefunction(known.function):
            value = await known.function(state, **order.arguments)
        else:
            value = await _in_thread(partial(known.function, state, **order.arguments))
        return Obeyed(order.number, value=_portable(value))
    except (Exception, SystemExit) as error:
        _logger.warning("the command %s failed: %s: %s", order.name, type(error).__name__, error, exc_info=True)
        return Obeyed(order.number, error=f"{type(error).__name__}: {error}")


def _listed(held: Mapping[str, Delivery]) -> list[Listed]:
    left = MAX_ENVELOPES
    found: list[Listed] = []
    for one in islice(held.values(), MAX_HELD):
        envelope = one.envelope if len(one.envelope) <= left else b""
        left -= len(envelope)
        found.append(Listed(one.id, one.queue, "running", one.level, envelope, "", one.counts))
    return found


async def _in_thread(call: Callable[[], Any]) -> Any:
    # Not in the loop's own pool: a command that never ends shall not keep this process from ending.
    loop = asyncio.get_running_loop()
    done: asyncio.Future[Any] = loop.create_future()

    def tell(value: Any, error: BaseException | None) -> None:
        if error is not None:
            done.set_exception(error)
        else:
            done.set_result(value)

    def run() -> None:
        value, error = None, None
        try:
            value = call()
        except (Exception, SystemExit) as raised:  # noqa: BLE001 - it is raised where it is awaited
            error = RuntimeError(str(raised)) if isinstance(raised, StopIteration | SystemExit) else raised
        with contextlib.suppress(RuntimeError):  # the loop has ended
            loop.call_soon_threadsafe(tell, value, error)

    threading.Thread(target=copy_context().run, args=(run,), name="umbel-command", daemon=True).start()
    return await done


def _portable(value: Any) -> Any:
    """*value* of plain data. Raises `TypeError` or `ValueError` for what cannot travel."""
    body = msgspec.msgpack.encode(value)
    if len(body) > MAX_BYTES:
        raise ValueError(f"an answer of {len(body):,} bytes is too long: {MAX_BYTES:,} at most")
    return msgspec.msgpack.decode(body)
