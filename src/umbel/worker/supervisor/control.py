"""Control: hears what workers are ordered to do, and answers. Whatever it hears, it is no reason to end a worker."""

from __future__ import annotations

import asyncio
import logging
import os
import time
from typing import Final

from umbel.contracts.mailbox import Letter, Mailbox
from umbel.exceptions import DecodeError, UmbelError
from umbel.model import chance
from umbel.wire.letters import BOX, DOOM, RATES, Answer, Order, decode_order, encode, read_doomed
from umbel.worker.supervisor.commands import Commands
from umbel.worker.supervisor.duties import Duties, Refused
from umbel.worker.supervisor.plan import Plan

WAIT_SECONDS: Final = 30.0
DEADLINE_SECONDS: Final = 5.0
PAUSE_SECONDS: Final = 1.0
ANSWER_SECONDS: Final = 60.0
"""How long an answer is kept for whoever asked."""
CLOCK_SECONDS: Final = 60.0
"""How far the clock of whoever orders may be from ours; an order that is too late by more is not obeyed."""

logger = logging.getLogger("umbel.worker")


class Control:
    """One loop over one box."""

    def __init__(self, mailbox: Mailbox, plan: Plan, duties: Duties, commands: Commands) -> None:
        """Hear over *mailbox*, and have *duties* done; all other orders are *commands* of the app."""
        self._mailbox = mailbox
        self._plan = plan
        self._duties = duties
        self._commands = commands
        self._commanding: set[asyncio.Task[None]] = set()
        self._after: int | None = None
        self._trouble = False
        self.begun = asyncio.Event()
        """Set when no order that comes from now on is missed; or the broker is away."""

    async def run(self) -> None:
        """Hear for ever, whether the broker is there or not."""
        while True:
            try:
                letters = await self._hear()
            except Exception as error:  # noqa: BLE001 - a worker without orders is better than none
                await self._pause(error)
                continue
            self._trouble = False
            for letter in letters:
                self._after = letter.number
                try:
                    await self._obey(letter)
                except Exception:  # a mistake of ours
                    logger.exception("an order could not be obeyed")

    async def _hear(self) -> list[Letter]:
        if self._after is None or self._trouble:
            async with asyncio.timeout(DEADLINE_SECONDS):
                last = await self._mailbox.aposition(BOX)
            # A server that was set up anew counts from the start again: then so do we.
            self._after = last if self._after is None else min(self._after, last)
            self.begun.set()
        async with asyncio.timeout(WAIT_SECONDS + DEADLINE_SECONDS):
            return await self._mailbox.ahear(BOX, self._after, WAIT_SECONDS)

    async def _pause(self, error: Exception) -> None:
        if not self._trouble:  # that the broker is away, others say louder
            level = logging.INFO if isinstance(error, UmbelError | OSError | TimeoutError) else logging.ERROR
            logger.log(level, "no orders can be heard, trying again: %s: %s", type(error).__name__, error)
        self._trouble = True
        self.begun.set()
        await asyncio.sleep(PAUSE_SECONDS * chance.random())

    async def _obey(self, letter: Letter) -> None:
        try:
            order = decode_order(letter.message)
            if order.verb == DOOM:
                self._duties.doom(read_doomed(order))
                return
        except DecodeError as error:
            logger.warning("an order cannot be read: %s", error)
            return
        if order.verb == RATES:
            self._duties.look()
            return
        if order.to and self._plan.worker not in order.to:
            return
        if time.time() > order.until + CLOCK_SECONDS:
            logger.info("the order %s comes too late", order.verb)
            return
        if order.verb in self._duties:
            await self._reply(order, self._answer(order))
        else:
            # It may take as long as it likes: the next order is heard meanwhile.
            commanding = asyncio.get_running_loop().create_task(self._command(order))
            self._commanding.add(commanding)
            commanding.add_done_callback(self._commanding.discard)

    async def _command(self, order: Order) -> None:
        value, fault = None, ""
        try:
            value = await self._commands.obey(order.verb, order.arguments, order.until - time.time())
        except Refused as refused:
            fault = str(refused)
        await self._reply(order, self._said(value, fault))

    async def _reply(self, order: Order, answer: Answer) -> None:
        if order.reply:
            await self._send(order.reply, answer)

    def _said(self, value: object, fault: str) -> Answer:
        return Answer(worker=self._plan.worker, host=self._plan.host, pid=os.getpid(), value=value, error=fault)

    def _answer(self, order: Order) -> Answer:
        value, fault = None, ""
        try:
            value = self._duties.do(order.verb, order.arguments)
        except Refused as refused:
            fault = str(refused)
        except Exception as error:
            logger.exception("the order %s failed", order.verb)
            fault = f"{type(error).__name__}: {error}"
        return self._said(value, fault)

    async def _send(self, box: str, answer: Answer) -> None:
        try:
            async with asyncio.timeout(DEADLINE_SECONDS):
                await self._mailbox.atell(box, [encode(answer)], ANSWER_SECONDS)
        except (UmbelError, OSError, TimeoutError) as error:
            logger.info("an answer cannot be sent: %s", error or type(error).__name__)
