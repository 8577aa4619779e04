"""Rendering: pages as HTML. Everything is escaped; what is markup comes from templates alone."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from typing import Any, Final
from urllib.parse import urlencode

import jinja2

from umbel.dashboard import figures, filters, job_wording
from umbel.dashboard.assets import Assets
from umbel.dashboard.charts import plot
from umbel.dashboard.page import Page
from umbel.dashboard.wording import FILTERS
from umbel.model.ids import new_id

THEMES: Final = ("auto", "light", "dark")
PLACES: Final = {
    "overview": "o",
    "jobs": "j",
    "tasks": "t",
    "errors": "e",
    "queues": "q",
    "dead": "d",
    "flows": "f",
    "schedules": "s",
    "workers": "w",
    "activity": "a",
}
"""The key that leads, after g, to the page of a section."""


class Renderer:
    """The templates of a dashboard that is mounted under *prefix*; *pages* are those of its navigation."""

    def __init__(self, prefix: str, assets: Assets, pages: Sequence[Page] = ()) -> None:
        self._prefix = prefix
        self._environment = jinja2.Environment(
            loader=jinja2.PackageLoader("umbel.dashboard"),
            autoescape=True,
            undefined=jinja2.StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
        )
        self._environment.filters.update({**FILTERS, **figures.FILTERS, **filters.FILTERS, **job_wording.FILTERS})
        given: dict[str, Any] = {"url": self.url, "asset": assets.url, "now": time.time, "fresh_id": new_id}
        given |= {"plot": plot, "pages": pages, "PLACES": PLACES}
        self._environment.globals.update(given)

    def url(self, path: str, **query: Any) -> str:
        """The address of *path* with *query*; None and empty values are left out, lists are repeated."""
        pairs = [(name, value) for name, value in query.items() if value not in (None, "", (), [])]
        return f"{self._prefix}{path}" + (f"?{urlencode(pairs, doseq=True)}" if pairs else "")

    def prepare(self, template: str) -> None:
        """Compile *template* before somebody waits for it; takes some hundredths of a second."""
        self._environment.get_template(template)

    def render(self, template: str, values: Mapping[str, Any], *, partial: bool = False) -> str:
        """*template* with *values*; *partial*: only its block ``live``, which is what is shown anew."""
        layout = "partial.html" if partial else "base.html"
        return self._environment.get_template(template).render(values, layout=layout)
