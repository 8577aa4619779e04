"""Settings: their names, types and limits; where they come from; what Celery has and Umbel does not."""

from __future__ import annotations

from umbel.settings.settings import Settings

__all__ = ["Settings"]
