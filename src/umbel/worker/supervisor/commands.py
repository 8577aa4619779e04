"""Commands: hands an order that is the app's own on to all children, and gathers what they answer."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Mapping
from typing import Any, Final

from umbel.worker.channel import ChannelClosed
from umbel.worker.messages import Command, Obeyed
from umbel.worker.supervisor.child import Child
from umbel.worker.supervisor.children import Children
from umbel.worker.supervisor.duties import Refused

PART: Final = 0.8
"""Of the time that whoever asks has: then he hears of those that have answered."""
MIN_SECONDS: Final = 0.05


class Commands:
    """The user code of this worker, as far as orders are for it: the supervisor has none."""

    def __init__(self, children: Children) -> None:
        """Ask *children*."""
        self._children = children
        self._numbers = itertools.count(1)

    async def obey(self, name: str, arguments: Mapping[str, Any], seconds: float) -> dict[str, Any]:
        """What each child answers within *seconds*, by its process id; ``{"error": …}`` where it does not.

        Raises `Refused` for a command that none of them knows.
        """
        order = Command(next(self._numbers), name, dict(arguments))
        wait = max(MIN_SECONDS, seconds * PART)
        children = [child for child in self._children.living() if child.pid]
        answers = await asyncio.gather(*(_answer(child, order, wait) for child in children))
        if not any(isinstance(one, Obeyed) and not one.unknown for one in answers):
            raise Refused(next((one for one in answers if isinstance(one, str)), _unknown(name)))
        return {str(child.pid): _told(one, name) for child, one in zip(children, answers, strict=True)}


async def _answer(child: Child, order: Command, wait: float) -> Obeyed | str:
    try:
        async with asyncio.timeout(wait):
            return await child.obey(order)
    except TimeoutError:
        return f"no answer within {wait:.1f} s"
    except ChannelClosed as error:
        return f"no answer: {error}"


def _told(answer: Obeyed | str, name: str) -> Any:
    error = answer if isinstance(answer, str) else answer.error or (_unknown(name) if answer.unknown else "")
    if error:
        return {"error": error}
    return answer.value if isinstance(answer, Obeyed) else None


def _unknown(name: str) -> str:
    return f"this worker does not know the order {name!r}"
