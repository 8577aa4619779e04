"""Rendering: pages as HTML. Everything is escaped; what is markup comes from templates alone."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any, Final
from urllib.parse import urlencode

import jinja2

from umbel.dashboard.assets import Assets
from umbel.dashboard.wording import FILTERS

THEMES: Final = ("auto", "light", "dark")


class Renderer:
    """The templates of a dashboard that is mounted under *prefix*."""

    def __init__(self, prefix: str, assets: Assets) -> None:
        self._prefix = prefix
        self._environment = jinja2.Environment(
            loader=jinja2.PackageLoader("umbel.dashboard"),
            autoescape=True,
            undefined=jinja2.StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
        )
        self._environment.filters.update(FILTERS)
        given: dict[str, Any] = {"url": self.url, "asset": assets.url, "now": time.time}
        self._environment.globals.update(given)

    def url(self, path: str, **query: Any) -> str:
        """The address of *path* with *query*; None and empty values are left out, lists are repeated."""
        pairs = [(name, value) for name, value in query.items() if value not in (None, "", (), [])]
        return f"{self._prefix}{path}" + (f"?{urlencode(pairs, doseq=True)}" if pairs else "")

    def render(self, template: str, values: Mapping[str, Any], *, partial: bool = False) -> str:
        """*template* with *values*; *partial*: only its block ``live``, which is what is shown anew."""
        layout = "partial.html" if partial else "base.html"
        return self._environment.get_template(template).render(values, layout=layout)
