"""What the replies to one try come to: answers, refusals, a server that is not ready, scripts that it does not know."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from hiredis import ReplyError

from umbel.engines.patience import Patience
from umbel.engines.redis_command import Command, Word
from umbel.engines.redis_connection import unready
from umbel.engines.redis_reply import code


def refused(replies: Sequence[Any]) -> bool:
    """Tell whether a refusal is among *replies*."""
    for reply in replies:  # noqa: SIM110 - runs with every call, and a generator costs more than the look
        if type(reply) is ReplyError:
            return True
    return False


def paused(patience: Patience, commands: Sequence[Command], error: OSError) -> float:
    """Seconds to wait before *commands* are sent again. Raises `BrokerUnavailable` if they must not be, or too late."""
    if patience.sent and any(command.once for command in commands):
        raise patience.over(error) from error
    return patience.pause(error)


def raise_unready(replies: Sequence[Any]) -> None:
    """Raise `OSError` if the server refused because it is not ready."""
    for reply in replies:
        if type(reply) is ReplyError and (error := unready(reply)) is not None:
            raise error


def is_unknown_script(reply: Any) -> bool:
    """Tell whether the server has to be sent the script first."""
    return isinstance(reply, ReplyError) and code(str(reply)) == "NOSCRIPT"


def plain(command: Command) -> tuple[Word, ...]:
    """The words of *command* for a server that knows its script without its first line."""
    if command.script is None:
        return command.words
    return (command.words[0], command.script.plain_sha, *command.words[2:])
