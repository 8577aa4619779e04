"""Solar events at a place on Earth: sunrise, dusk and the like. Needs ``pip install 'umbel[solar]'``."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, tzinfo
from importlib import import_module
from typing import Any, Final

from umbel.schedules.rule import Rule, milliseconds

_EVENTS: Final = {
    # event: degrees above the horizon, rising, of the sun's centre (else of its rim)
    "dawn_astronomical": ("-18", True, True),
    "dawn_nautical": ("-12", True, True),
    "dawn_civil": ("-6", True, True),
    "sunrise": ("-0:34", True, False),
    "solar_noon": ("0", False, False),
    "sunset": ("-0:34", False, False),
    "dusk_civil": ("-6", False, True),
    "dusk_nautical": ("-12", False, True),
    "dusk_astronomical": ("-18", False, True),
}
_DAYS_SEARCHED: Final = 400
"""In a polar winter or summer half a year has no sunrise; each year has at least one where any has one."""


class solar(Rule):  # noqa: N801 - Celery's name
    """A tick at each *event*, seen from *lat*, *lon* (degrees, north and east positive); days without it are skipped.

    Events: dawn_astronomical, dawn_nautical, dawn_civil, sunrise, solar_noon, sunset, dusk_civil, dusk_nautical,
    dusk_astronomical. *nowfun* and *app* are Celery's and not needed.
    """

    def __init__(self, event: str, lat: float, lon: float, nowfun: object = None, app: object = None) -> None:
        """Raises `ValueError` for what is no event or no place, `ImportError` without the library."""
        del nowfun, app
        if event not in _EVENTS:
            raise ValueError(f"{event!r} is no solar event: give one of {', '.join(_EVENTS)}")
        self.event = event
        self.lat = _degrees("lat", lat, 90)
        self.lon = _degrees("lon", lon, 180)
        _library()

    @property
    def text(self) -> str:
        """``solar <event> <lat> <lon>``."""
        return f"solar {self.event} {self.lat:.15g} {self.lon:.15g}"

    def tick_after(self, moment: int, zone: tzinfo, anchor: int) -> int | None:
        """See `Rule.tick_after`."""
        del zone, anchor
        start = datetime.fromtimestamp(moment / 1000, UTC)
        for day in range(_DAYS_SEARCHED):
            tick = self._event_after(start + timedelta(days=day))
            # The library iterates to within a second: it may find the tick that was just passed once more.
            if tick is not None and tick > moment + 1000:
                return tick
        return None

    def _event_after(self, start: datetime) -> int | None:
        """The event that follows *start*, to the second, or None if the sun stays up or down."""
        ephem = _library()
        horizon, rising, centre = _EVENTS[self.event]
        place = ephem.Observer()
        place.lat, place.lon = str(self.lat), str(self.lon)
        place.elevation = place.pressure = 0
        place.horizon = horizon
        place.date = start.replace(tzinfo=None) + timedelta(seconds=1)
        sun = ephem.Sun()
        try:
            if self.event == "solar_noon":
                found = place.next_transit(sun)
            else:
                found = (place.next_rising if rising else place.next_setting)(sun, use_center=centre)
        except ephem.CircumpolarError:
            return None
        return milliseconds(found.datetime().replace(tzinfo=UTC, microsecond=0))


def _degrees(name: str, value: Any, most: int) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not -most <= value <= most:
        raise ValueError(f"{name} is {value!r}: give degrees from -{most} to {most}")
    return float(value)


def _library() -> Any:
    try:
        return import_module("ephem")
    except ImportError as error:
        raise ImportError("solar schedules need a library: pip install 'umbel[solar]'") from error
