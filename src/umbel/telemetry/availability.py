"""Whether the packages are here that telemetry is written with; looked up without importing them."""

from __future__ import annotations

from importlib.util import find_spec

from umbel.worker.reading import Exporter, Reading


def installed() -> bool:
    """Whether Prometheus's client is here."""
    return find_spec("prometheus_client") is not None


def exporter_of() -> Exporter | None:
    """What writes the metrics of a worker; None where prometheus_client is missing. Costs no import before its use."""
    return _export if installed() else None


def _export(reading: Reading) -> tuple[bytes, str]:
    from umbel.telemetry.page import page
    from umbel.telemetry.worker_families import worker_families

    return page(worker_families(reading))
