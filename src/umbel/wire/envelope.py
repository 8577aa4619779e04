"""The envelope: a job to bytes and back. What a broker carries and never reads."""

from __future__ import annotations

from typing import Any, Final

import msgspec

from umbel.exceptions import DecodeError, EncodeError
from umbel.model.flow import Part

VERSION: Final = 1
MAX_ENVELOPE_BYTES: Final = 1024 * 1024
MAX_LINK_BYTES: Final = 2**31
"""What is in an envelope was measured with it."""
_NAMES: Final = {
    "version": "v",
    "task": "t",
    "args": "a",
    "kwargs": "k",
    "created": "c",
    "expires": "x",
    "ignore_result": "i",
    "max_retries": "m",
    "retry_policy": "y",
    "soft_time_limit": "s",
    "time_limit": "l",
    "headers": "h",
    "root_id": "r",
    "parent_id": "p",
    "origin": "o",
    "eta": "e",
    "priority": "q",
    "part": "f",
    "group_id": "g",
    "links": "n",
    "errbacks": "b",
    "in_chord": "d",
    "replaced": "z",
    "steps": "w",
    "delay": "u",
}
_EMPTY_LIST: Final = b"\x90"
_EMPTY_MAP: Final = b"\x80"


class Link(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """A job that is sent when another has succeeded; *takes* tells that it gets the value as its first argument.

    *id* is empty unless the caller chose one. *delay* is in seconds, *eta* unix time.
    """

    queue: str
    envelope: bytes
    takes: bool = True
    id: str = ""
    priority: int = 0
    delay: float = 0.0
    eta: float | None = None


class Errback(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """Who is told when a job has failed: a signature in its dict form, encoded, and the queue where it is called.

    *queue* is empty for the queue of the job that failed.
    """

    signature: bytes
    queue: str = ""


class Envelope(msgspec.Struct, frozen=True, omit_defaults=True, rename=_NAMES, gc=False):
    """One call of a task as it travels. Arguments stay encoded until the task is known. Times are unix seconds.

    *steps* are the values of steps that its runs have taken so far, encoded, by their names. *delay* is the countdown
    of a job of a flow, which begins when its node opens; *eta* is as if that were when it was made.
    """

    task: str
    created: float = 0.0
    args: msgspec.Raw = msgspec.Raw(_EMPTY_LIST)
    kwargs: msgspec.Raw = msgspec.Raw(_EMPTY_MAP)
    version: int = VERSION
    expires: float | None = None
    ignore_result: bool | None = None
    max_retries: int | None = None
    retry_policy: dict[str, float | bool | None] | None = None
    soft_time_limit: float | None = None
    time_limit: float | None = None
    headers: dict[str, Any] | None = None
    root_id: str | None = None
    parent_id: str | None = None
    origin: str | None = None
    eta: float | None = None
    priority: int = 0
    part: Part | None = None
    group_id: str | None = None
    links: tuple[Link, ...] = ()
    errbacks: tuple[Errback, ...] = ()
    in_chord: bool = False
    replaced: int = 0
    steps: dict[str, msgspec.Raw] | None = None
    delay: float = 0.0

    @property
    def due(self) -> float:
        """The unix time at which its first run was due; 0 if only the engine knows when what it waited for was over."""
        if self.part is not None and self.part.needs:
            return 0.0
        return self.created if self.eta is None or self.eta < self.created else self.eta


_encoder: Final = msgspec.msgpack.Encoder()
_decoder: Final = msgspec.msgpack.Decoder(Envelope)
pack: Final = _encoder.encode
"""Encode an `Envelope` without a look at its size; for callers that look themselves."""


def encode(envelope: Envelope, limit: int = MAX_ENVELOPE_BYTES) -> bytes:
    """The bytes of *envelope*. Raises `EncodeError` above *limit* bytes."""
    body = _encoder.encode(envelope)
    if len(body) > limit:
        raise EncodeError(
            f"the arguments of {envelope.task} take {len(body):,} bytes, more than message_max_bytes ({limit:,}): "
            "store the data elsewhere and send a reference, or raise that setting"
        )
    return body


def decode(body: bytes, limit: int = MAX_ENVELOPE_BYTES) -> Envelope:
    """The envelope in *body*, untrusted. Raises `DecodeError` with the reason; costs little whatever the bytes are."""
    if len(body) > limit:
        raise DecodeError(f"the envelope has {len(body):,} bytes, more than message_max_bytes ({limit:,})")
    try:
        envelope = _decoder.decode(body)
    except (msgspec.MsgspecError, RecursionError, UnicodeDecodeError) as error:
        raise DecodeError(f"not an envelope: {error}") from error
    if envelope.version > VERSION:
        raise DecodeError(f"envelope version {envelope.version} is newer than this worker understands ({VERSION})")
    return envelope
