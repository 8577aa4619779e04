"""Desk: what one event loop holds. Turns messages into claimed deliveries, and settled deliveries into mail."""

from __future__ import annotations

import asyncio
import logging
import math
from collections.abc import Awaitable, Callable, Coroutine, Iterator, Sequence
from functools import partial
from itertools import count
from typing import Any, Final

import msgspec

from umbel.brokers.rabbitmq import posts
from umbel.brokers.rabbitmq.intake import Arrival, Intake
from umbel.brokers.rabbitmq.mail import Mail
from umbel.brokers.rabbitmq.posts import Post, Tag
from umbel.contracts.broker import SessionDead
from umbel.contracts.claims import Answer, ClaimStore, Pointer
from umbel.contracts.jobs import QueuePauser
from umbel.engines.amqp import Engine
from umbel.engines.amqp_letter import copied
from umbel.exceptions import UmbelError
from umbel.model.job import Delivery

PATIENT_SECONDS: Final = 4.0
"""A lease with less left than this is looked at each second."""
LONGEST_SECONDS: Final = 5.0
"""Until the next look at a claim of a lease with more left: its holder may let go of it, and its message be lost."""
SOON_SECONDS: Final = (0.1, 0.2, 0.4)
"""Until the first looks: a child that was killed loses its messages before its supervisor has freed its claims."""
AGAIN_SECONDS: Final = 1.0
"""Between two tries to publish what is settled."""
_HELD: Final = Answer("held")

_logger = logging.getLogger("umbel.broker")


class Held(msgspec.Struct, gc=False, eq=False):
    """A delivery of a session of this process, and the message it came with.

    *settled* is the kind of its verdict once the store has carried that out; *posts* are still to be published then.
    *amended* is its envelope if that is not the message's any more.
    """

    session: str
    delivery: Delivery
    generation: int
    arrival: Arrival
    settled: str = ""
    posts: list[Post] = []
    task: str = ""
    amended: bytes = b""

    @property
    def parcel(self) -> bytes:
        """The posts as the store keeps them."""
        return posts.pack(self.posts) if self.posts else b""


class Desk:
    """The deliveries of one event loop."""

    intake_type: type[Intake] = Intake

    def __init__(self, engine: Engine, claims: ClaimStore, mail: Mail) -> None:
        self.loop = asyncio.get_running_loop()
        self.intake = self.intake_type(engine, mail.topology)
        self._claims = claims
        self._mail = mail
        self._held: dict[str, Held] = {}
        self._numbers: dict[str, Iterator[int]] = {}
        self._chores: set[asyncio.Task[None]] = set()
        self._paused: set[str] = set()
        self._looking = 0

    @property
    def busy(self) -> int:
        """How many messages are out: deliveries that are held, and those that are about to ask again."""
        return len(self._held) + self._looking

    def number(self, session: str) -> int:
        """The next receive number of *session*."""
        numbers = self._numbers.get(session)
        if numbers is None:
            numbers = self._numbers[session] = count(1)
        return next(numbers)

    def found(self, session: str, deliveries: Sequence[Delivery]) -> list[Held | None]:
        """What is held as each of *deliveries*, if it still is; what is named twice is found once."""
        found: list[Held | None] = []
        seen: set[str] = set()
        for delivery in deliveries:
            held = self._held.get(delivery.id)
            ours = held is not None and (held.session, held.delivery.number) == (session, delivery.number)
            found.append(held if ours and delivery.id not in seen else None)
            if ours:
                seen.add(delivery.id)
        return found

    def lost(self, held: Held) -> None:
        """The store knows *held* no longer as ours: its message asks anew, like any other."""
        self._held.pop(held.delivery.id, None)
        self.intake.put_back([held.arrival])

    def beyond(self, session: str, number: int, known: Sequence[Delivery]) -> list[str]:
        """The ids of what *session* has received here before *number* and not settled, beyond what is *known*."""
        tags = {(delivery.id, delivery.number) for delivery in known}
        return [
            job_id
            for job_id, held in self._held.items()
            if held.session == session and held.delivery.number < number and not held.settled
            if (job_id, held.delivery.number) not in tags
        ]

    def give_up(self, ids: Sequence[str]) -> None:
        """Have the messages of *ids* taken again."""
        found = [held for job_id in ids if (held := self._held.pop(job_id, None)) is not None]
        self.intake.put_back([held.arrival for held in found])

    async def open_ones(self, queues: Sequence[str]) -> Sequence[str]:
        """Those of *queues* that are not paused; of one that was when its jobs were claimed, the store is asked."""
        resting = [queue for queue in queues if queue in self._paused]
        if not resting or not isinstance(self._claims, QueuePauser):
            return queues
        for queue, paused in zip(resting, await self._claims.apaused(resting), strict=True):
            if not paused:
                self._paused.discard(queue)
        return [queue for queue in queues if queue not in self._paused]

    async def assure(self, session: str, queues: Sequence[str]) -> None:
        """Raises `SessionDead` if *session* is dead; for who received nothing and so was not told."""
        number = self.number(session)
        for queue in queues:
            await self._claims.claim(session, number, queue, ())

    async def leave_the_dead(self) -> None:
        """Have the messages of dead sessions of this process taken by others."""
        queues = {(held.session, held.delivery.queue) for held in self._held.values()}
        for session, queue in queues:
            try:
                await self.assure(session, [queue])
            except SessionDead:
                dead = [each.delivery for each in self._held.values() if each.session == session]
                self.give_up([delivery.id for delivery in dead if delivery.queue == queue])

    async def claim(self, session: str, arrivals: Sequence[Arrival]) -> list[Delivery] | None:
        """Ask the store for the jobs of *arrivals*; answers those that are ours. What fails is taken again.

        None: the session has received under a later number, so this process is not the one to ask for it.
        """
        number = self.number(session)
        asked: dict[str, dict[str, tuple[Arrival, Tag]]] = {}
        for arrival in arrivals:
            tag = posts.tag_of(arrival.message)
            mine = asked.setdefault(arrival.queue, {})
            if tag.id in mine:
                self._later(arrival, partial(self._put_off, arrival, tag, _HELD))
            elif not self._known(arrival, tag):
                mine[tag.id] = (arrival, tag)
        deliveries: list[Delivery] = []
        late = False
        while asked:
            queue, mine = next(iter(asked.items()))
            try:
                found = await self._claimed(session, number, queue, list(mine.values()))
            except BaseException:
                self.intake.put_back([arrival for left in asked.values() for arrival, _ in left.values()])
                self.give_up([delivery.id for delivery in deliveries])
                raise
            deliveries += found or ()
            late = late or found is None
            del asked[queue]
        return None if late and not deliveries else deliveries

    async def carry(self, done: Sequence[Held]) -> None:
        """Publish what the settled deliveries *done* leave, then let go of their messages.

        While RabbitMQ lets nobody publish that is done later: the store has it all, and no other settle has to wait.
        """
        mailing = [held for held in done if held.posts]
        await self._let_go([held for held in done if not held.posts])
        if mailing and self._mail.blocked:
            self.keep(self._mailed_later(mailing))
        elif mailing:
            await self._mailed(mailing)

    async def _mailed(self, mailing: Sequence[Held]) -> None:
        sent = [(post, held) for held in mailing for post in held.posts]
        letters = [posts.letter(post, held.arrival.message.body) for post, held in sent]
        await self._mail.deliver(letters, [post for post, _ in sent])
        await asyncio.gather(*[self._published(held) for held in mailing])
        await self._let_go(mailing)

    async def _mailed_later(self, mailing: Sequence[Held]) -> None:
        while True:
            try:
                return await self._mailed(mailing)
            except UmbelError as error:
                _logger.debug("%d settled jobs have posts that wait: %s", len(mailing), error)
                await asyncio.sleep(AGAIN_SECONDS)

    async def _let_go(self, done: Sequence[Held]) -> None:
        for held in done:
            if self._held.get(held.delivery.id) is held:  # a retry may be back already
                del self._held[held.delivery.id]
        self.intake.acknowledge(held.arrival for held in done if held.settled != "release")
        released = [held.arrival for held in done if held.settled == "release"]
        if released:
            # Together with what arrived after them, so that they come first again; and not to be pushed to us.
            self.intake.put_back(released)
            await self.intake.rest()

    async def aclose(self) -> None:
        """Let go of everything: what is not settled goes back to its queue."""
        for chore in self._chores:
            chore.cancel()
        if self._chores:
            await asyncio.wait(self._chores)
        await self.intake.aclose()

    async def _published(self, held: Held) -> None:
        delivery = held.delivery
        await self._claims.published(delivery.queue, delivery.id, held.parcel, posts.short(held.task))

    async def _claimed(
        self, session: str, number: int, queue: str, asked: Sequence[tuple[Arrival, Tag]]
    ) -> list[Delivery] | None:
        pointers = [
            Pointer(tag.id, tag.generation, tag.copy, tag.counts, arrival.message.properties.deliveries)
            for arrival, tag in asked
        ]
        answers = await self._claims.claim(session, number, queue, pointers)
        if answers is None:
            self.intake.put_back([arrival for arrival, _ in asked])
            return None
        if any(answer.verdict == "paused" for answer in answers):
            self._paused.add(queue)
            self.intake.put_back([arrival for arrival, _ in asked])  # goes back when its queue is left
            return []
        deliveries: list[Delivery] = []
        for (arrival, tag), answer in zip(asked, answers, strict=True):
            if answer.verdict == "ours":
                deliveries.append(self._hold(session, number, arrival, tag, answer))
            elif answer.verdict == "held" and not tag.put_off and arrival.looks < len(SOON_SECONDS):
                self.keep(self._ask_soon(arrival))
            elif answer.verdict == "held":
                self._later(arrival, partial(self._put_off, arrival, tag, answer))
            else:
                self._later(arrival, partial(self._finish, arrival, tag, answer.parcel))
        return deliveries

    def _hold(self, session: str, number: int, arrival: Arrival, tag: Tag, answer: Answer) -> Delivery:
        message = arrival.message
        delivery = Delivery(
            tag.id, arrival.queue, posts.level_of(message), number, answer.envelope or message.body, answer.counts,
            returned=answer.returned,
        )  # fmt: skip
        self._held[tag.id] = Held(session, delivery, tag.generation, arrival, amended=answer.envelope)
        return delivery

    def _known(self, arrival: Arrival, tag: Tag) -> bool:
        """Whether the job is held here: the message that came back after a lost line takes the place of the old one."""
        held = self._held.get(tag.id)
        if held is None or held.settled:
            return False
        if held.generation == tag.generation and not held.arrival.ours:
            held.arrival = arrival
        else:
            self._later(arrival, partial(self._put_off, arrival, tag, _HELD))
        return True

    def _later(self, arrival: Arrival, work: Callable[[], Awaitable[None]]) -> None:
        """Do *work* for *arrival* beside everything else; if it fails, the message asks anew."""
        self.keep(self._do(arrival, work))

    def keep(self, work: Coroutine[Any, Any, None]) -> None:
        """Do *work*, which fails never, beside everything else."""
        chore = self.loop.create_task(work)
        self._chores.add(chore)
        chore.add_done_callback(self._chores.discard)

    async def _do(self, arrival: Arrival, work: Callable[[], Awaitable[None]]) -> None:
        try:
            await work()
        except UmbelError as error:
            _logger.warning("job %s waits: %s", arrival.message.properties.id, error)
            self.intake.requeue([arrival])
            return
        self.intake.acknowledge([arrival])

    async def _ask_soon(self, arrival: Arrival) -> None:
        """Somebody else has the job, who may have died just now: let its message ask again in a moment."""
        arrival.looks += 1
        self._looking += 1
        try:
            await asyncio.sleep(SOON_SECONDS[arrival.looks - 1])
        finally:
            self._looking -= 1
        self.intake.put_back([arrival])

    async def _put_off(self, arrival: Arrival, tag: Tag, answer: Answer) -> None:
        """Somebody else has the job: look again."""
        seconds = until_next_look(tag.put_off, answer.seconds)
        message = arrival.message
        post = Post(
            tag.id, arrival.queue, posts.level_of(message), generation=tag.generation, delay=seconds,
            put_off=tag.put_off + 1, counts=posts.written(tag.counts),
        )  # fmt: skip
        await self._mail.deliver([posts.letter(post, message.body)], [post])

    async def _finish(self, arrival: Arrival, tag: Tag, parcel: bytes) -> None:
        """The job is over: publish what its settle could not publish any more, or could without noting it."""
        if not parcel:
            return
        left = posts.unpack(parcel)
        await self._mail.deliver([copied(posts.letter(post, arrival.message.body)) for post in left], left)
        task = next((post.task for post in left if post.place == "parked"), "")
        await self._claims.published(arrival.queue, tag.id, parcel, posts.short(task))


def until_next_look(times: int, left: float) -> float:
    """In how many seconds to look again at a claim whose lease has *left* seconds, after so many *times* before."""
    return 1.0 if left < PATIENT_SECONDS or not times else min(LONGEST_SECONDS, float(math.ceil(left)))
