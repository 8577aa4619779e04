"""Posts: what is published of a job, as values; and how a message tells of its job. No I/O here.

The type of a message is ``<generation>[:<retries>:<crashes>:<losses>[:q]][+[<times put off>]]``. The plus sign says
that there may be another one like it; the q, that it is about to run alone.
"""

from __future__ import annotations

import hashlib
import math
import time
from collections.abc import Sequence
from typing import Final, Literal

import msgspec

from umbel.brokers.rabbitmq import names
from umbel.contracts.broker import Settlement
from umbel.engines.amqp_frames import Message, Properties
from umbel.engines.amqp_letter import COPY, Letter
from umbel.exceptions import BrokerError
from umbel.model.job import FIRST, MAX_PRIORITY, Counts, Job

MAX_TEXT_BYTES: Final = 255


class Post(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """A message still to be published: where to, and what. An empty *envelope* is that of the message it follows."""

    id: str
    queue: str
    level: int
    place: Literal["ready", "parked", "dead"] = "ready"
    generation: int = 0
    delay: float = 0.0
    task: str = ""
    envelope: bytes = b""
    put_off: int = 0
    counts: str = ""


class Tag(msgspec.Struct, frozen=True, gc=False):
    """What a message tells of its job besides the envelope."""

    id: str
    generation: int = 0
    copy: bool = False
    put_off: int = 0
    counts: Counts = FIRST


_encoder: Final = msgspec.msgpack.Encoder()
_decoder: Final = msgspec.msgpack.Decoder(list[Post])
pack: Final = _encoder.encode
unpack: Final = _decoder.decode


def posts_of(settlement: Settlement, generation: int, amended: bytes = b"") -> list[Post]:
    """What carrying out *settlement* publishes; *generation* is that of the message it settles.

    *amended* is the envelope of the job if it is not that of the message any more.
    """
    delivery = settlement.delivery
    counts = settlement.counts or delivery.counts
    told = written(msgspec.structs.replace(counts, marked=False))
    own = Post(delivery.id, delivery.queue, delivery.level, generation=generation + 1, envelope=amended, counts=told)
    found = [follow_up(job) for job in settlement.follow_ups]
    match settlement.kind:
        case "retry":
            envelope = settlement.envelope or amended
            found.append(msgspec.structs.replace(own, delay=max(0.0, settlement.delay), envelope=envelope))
        case "park":
            found.append(msgspec.structs.replace(own, place="parked", task=settlement.task))
        case "dead":
            found.append(msgspec.structs.replace(own, place="dead"))
        case _:
            pass
    return found


def follow_up(job: Job) -> Post:
    """The first message of *job*."""
    return Post(job.id, job.queue, job.level, delay=_delay(job), envelope=job.envelope)


def checked(job: Job) -> Job:
    """*job*, if a message can carry it. Raises `BrokerError`."""
    if len(job.id.encode()) > MAX_TEXT_BYTES:
        raise BrokerError(f"RabbitMQ carries ids of {MAX_TEXT_BYTES} bytes at most: {job.id[:40]}…")
    letter(follow_up(job))
    return job


def letter(post: Post, envelope: bytes = b"") -> Letter:
    """*post* as it is published; *envelope* stands in where it has none. Raises `BrokerError` for too long a delay."""
    kind = f"{post.generation or ''}{post.counts}"
    if post.put_off:
        kind += f"{COPY}{post.put_off}"
    properties = Properties(post.id, kind, short(post.task), MAX_PRIORITY - post.level)
    return Letter(_route(post), properties, post.envelope or envelope)


def tag_of(message: Message) -> Tag:
    """What *message* tells of its job. One without an id gets one that is made of its content."""
    properties = message.properties
    told, copy, put_off = properties.type.partition(COPY)
    generation, _, counts = told.partition(":")
    if not properties.id:
        return Tag("foreign-" + hashlib.sha256(message.body).hexdigest()[:32])
    return Tag(properties.id, _number(generation), bool(copy), _number(put_off), _read(counts))


def written(counts: Counts) -> str:
    """*counts* as a post has them; nothing for those of a first delivery."""
    if counts == FIRST:
        return ""
    return f":{counts.retries}:{counts.crashes}:{counts.losses}{':q' if counts.marked else ''}"


def level_of(message: Message) -> int:
    """The level of the job of *message*."""
    return MAX_PRIORITY - min(message.properties.priority, MAX_PRIORITY)


def short(text: str) -> str:
    """*text* as far as it fits into a property."""
    return text.encode()[:MAX_TEXT_BYTES].decode("utf-8", "ignore")


def seconds_of(post: Post) -> int:
    """The delay of *post* in whole seconds, rounded up."""
    return math.ceil(post.delay)


def delays(posts: Sequence[Post]) -> set[int]:
    """The different delays of *posts*."""
    return {seconds_of(post) for post in posts if post.place == "ready" and post.delay > 0}


def _route(post: Post) -> tuple[str, str]:
    if post.place == "parked":
        return "", names.parked(post.queue)
    if post.place == "dead":
        return "", names.dead(post.queue)
    seconds = seconds_of(post)
    if seconds > names.MAX_DELAY_SECONDS:
        raise BrokerError(f"job {post.id} is to wait for {post.delay:.0f} s: RabbitMQ holds one for 8 years at most")
    return names.route(post.queue, names.class_of(post.level), seconds)


def _delay(job: Job) -> float:
    return max(0.0, job.delay if job.eta is None else job.eta - time.time())


def _read(text: str) -> Counts:
    retries, crashes, losses, mark, *_ = [*text.split(":"), "", "", "", ""]
    return Counts(_number(retries), _number(crashes), _number(losses), mark == "q")


def _number(text: str) -> int:
    return int(text) if text.isdecimal() else 0
