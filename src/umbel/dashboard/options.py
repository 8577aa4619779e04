"""Options of a dashboard."""

from __future__ import annotations

import msgspec


class Options(msgspec.Struct, frozen=True, kw_only=True):
    """How one dashboard is served.

    *prefix* is the path that it is mounted under, such as ``/umbel``, without a slash at its end. *read_only* takes
    every right away that changes something. Without *show_args* no list and no page shows arguments.
    """

    prefix: str = ""
    read_only: bool = False
    show_args: bool = True
