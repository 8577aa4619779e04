"""Letters: messages to be published, as values."""

from __future__ import annotations

from typing import Final

import msgspec

from umbel.engines.amqp_frames import Properties

COPY: Final = "+"
"""Stands in the type of a message which may have been published before."""


class Letter(msgspec.Struct, frozen=True, gc=False):
    """A message to be published. *route* is exchange and routing key."""

    route: tuple[str, str]
    properties: Properties
    body: bytes


def copied(letter: Letter) -> Letter:
    """*letter*, marked as one that may have been published before."""
    properties = letter.properties
    if COPY in properties.type:
        return letter
    marked = msgspec.structs.replace(properties, type=properties.type + COPY)
    return msgspec.structs.replace(letter, properties=marked)
