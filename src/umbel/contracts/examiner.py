"""Examiner: the power of a broker or a store to tell how it stands with its server or file."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol, runtime_checkable

from umbel.model.finding import Finding


@runtime_checkable
class Examiner(Protocol):
    """An engine that can look at its own server's state and settings."""

    async def examine(self, *, thorough: bool = False) -> Sequence[Finding]:
        """What there is to tell, and what of it endangers jobs. Reads only.

        *thorough* may take long: it reads all that is there. Errors as of any other call.
        """
        ...
