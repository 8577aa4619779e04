"""Where a SQLite file may be that Python's own SQLite opens."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

from umbel.engines.sqlite_file import file_system, refuse_network
from umbel.exceptions import ImproperlyConfigured

if TYPE_CHECKING:
    from umbel.settings import Settings


def refuse_file(path: Path, setting: str, settings: Settings) -> None:
    """Raise `ImproperlyConfigured` if *path* is a file of the embedded engine, or where no SQLite file may be.

    Python's own SQLite must not touch a file that another copy of SQLite has open: closing it would drop the locks of
    that one. Hence nothing is opened here to find out.
    """
    scheme, _, name = settings.broker_url.partition(":///")
    if Path(f"{path}.d").is_dir() or (scheme == "sqlite" and os.path.realpath(name) == os.path.realpath(path)):
        raise ImproperlyConfigured(
            f"{setting}: {path} belongs to the embedded engine: write sqlite:///… to keep results in it, "
            "or name a file of its own"
        )
    if not path.parent.is_dir():
        raise ImproperlyConfigured(f"{setting}: there is no folder {path.parent} for {path.name}: make it")
    refuse_network(file_system(path.parent), path.parent, setting)
