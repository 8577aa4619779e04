"""Settings for tests that do not ask how long a call may take: a machine that is busy with others is no failure."""

from __future__ import annotations

from typing import Final

from umbel.settings import Settings

PATIENT: Final = Settings(broker_send_deadline=20.0)
