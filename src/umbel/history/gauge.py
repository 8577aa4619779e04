"""Gauge: how the history itself is, cheap enough to be asked for with each page."""

from __future__ import annotations

import time
from typing import Final

import msgspec

from umbel.contracts.history import Archive
from umbel.exceptions import HistoryError, HistoryFull
from umbel.history.notes import PROBED, Notes
from umbel.history.views import Standing

SIZE_SECONDS: Final = 60.0
"""For how long a size is good; to measure it costs more than all else."""
SILENT_SECONDS: Final = 30.0
"""A recorder says every 10 s that it is there. After so long it is looked whether that could be written at all."""
PROBE_SECONDS: Final = 15.0


class Gauge:
    """Looks at *archive*; a read ends within *seconds*."""

    def __init__(self, archive: Archive, seconds: float) -> None:
        self._archive = archive
        self._seconds = seconds
        self._size = (0.0, 0)
        self._probe = (0.0, "")

    def standing(self, now: float) -> Standing:
        """How it is at *now*."""
        size = self._measured()
        found = self._archive.read(lambda step: Notes(step).standing(now, size), self._seconds)
        if found.trouble or found.recorded is None or now - found.recorded < SILENT_SECONDS:
            return found
        return msgspec.structs.replace(found, trouble=self._probed(now))

    def _measured(self) -> int:
        until, size = self._size
        if time.monotonic() >= until:
            size = self._archive.size()
            self._size = (time.monotonic() + SIZE_SECONDS, size)
        return size

    def _probed(self, now: float) -> str:
        """What keeps a note from being written: a recorder that finds no room cannot say so in the history either."""
        until, trouble = self._probe
        if time.monotonic() < until:
            return trouble
        trouble = ""
        try:
            self._archive.write(lambda step: Notes(step).put(PROBED, repr(now)))
        except HistoryFull as error:
            trouble = str(error)
        except HistoryError:
            pass  # it may be read by somebody who may not write it: then the recorder has to tell
        self._probe = (time.monotonic() + PROBE_SECONDS, trouble)
        return trouble
