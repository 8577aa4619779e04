"""Orders and answers, as bytes and back: what control and workers say to each other through a mailbox."""

from __future__ import annotations

from typing import Any, Final

import msgspec

from umbel.exceptions import DecodeError

BOX: Final = "control"
"""The box in which all workers of a broker hear orders."""
DOOM: Final = "doom"
"""The order to look for jobs that were revoked; its arguments are those of `Doomed`."""
RATES: Final = "rates"
"""The order to read which tasks have another rate than in the code; the broker keeps what there is to read."""
HELD: Final = "held"
"""The order to tell which jobs each child holds: a list of `umbel.contracts.jobs.Listed` by its process id."""


class Order(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What workers are to do or to tell. *until* is the unix time from which on it is too late to be obeyed.

    *to* are node names, with none all are meant. Who has a *reply* box wants an answer from each.
    """

    verb: str
    arguments: dict[str, Any] = {}
    to: tuple[str, ...] = ()
    reply: str = ""
    until: float = 0.0


class Answer(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What one worker answers; *error* is empty unless it refuses. Host and pid tell workers of one name apart."""

    worker: str
    host: str
    pid: int
    value: Any = None
    error: str = ""


class Doomed(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The jobs of an order `DOOM`. With *terminate* they are ended, else told; *signal* names how (SIGTERM)."""

    ids: list[str]
    terminate: bool = False
    signal: str = "SIGTERM"


_encoder: Final = msgspec.msgpack.Encoder(enc_hook=repr)
_orders: Final = msgspec.msgpack.Decoder(Order)
_answers: Final = msgspec.msgpack.Decoder(Answer)
_DAMAGED: Final = (msgspec.MsgspecError, RecursionError, UnicodeDecodeError)


def encode(letter: Order | Answer) -> bytes:
    """The bytes of *letter*; what msgpack lacks travels as its repr."""
    return _encoder.encode(letter)


def doom_order(doomed: Doomed, until: float) -> bytes:
    """The bytes of an order `DOOM`."""
    return encode(Order(verb=DOOM, arguments=msgspec.to_builtins(doomed), until=until))


def decode_order(body: bytes) -> Order:
    """The order in *body*, untrusted. Raises `DecodeError`."""
    try:
        return _orders.decode(body)
    except _DAMAGED as error:
        raise DecodeError(f"not an order: {error}") from error


def decode_answer(body: bytes) -> Answer:
    """The answer in *body*, untrusted. Raises `DecodeError`."""
    try:
        return _answers.decode(body)
    except _DAMAGED as error:
        raise DecodeError(f"not an answer: {error}") from error


def read_doomed(order: Order) -> Doomed:
    """The arguments of an order `DOOM`, untrusted. Raises `DecodeError`."""
    try:
        return msgspec.convert(order.arguments, Doomed)
    except msgspec.ValidationError as error:
        raise DecodeError(f"not the arguments of {DOOM}: {error}") from error
