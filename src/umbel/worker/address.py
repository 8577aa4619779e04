"""Where probes ask: the host and port of a worker's health endpoint."""

from __future__ import annotations

from typing import Final

from umbel.exceptions import ImproperlyConfigured

LOOPBACK: Final = "127.0.0.1"
MAX_PORT: Final = 65_535


def probe_address(text: str) -> tuple[str, int]:
    """The host and port of *text*: ``8089``, ``0.0.0.0:8089`` or ``[::1]:8089``; a port alone is on loopback.

    Port 0 is one that the system chooses. Raises `ImproperlyConfigured`.
    """
    host, _, port = text.strip().rpartition(":")
    if not port.isdecimal() or int(port) > MAX_PORT:
        raise ImproperlyConfigured(f"health is {text!r}: give [HOST:]PORT, such as 8089 or 0.0.0.0:8089")
    return host.strip("[]") or LOOPBACK, int(port)
