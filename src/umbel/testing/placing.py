"""Placing: another broker and result store under an app for a while, without a trace afterwards."""

from __future__ import annotations

import contextlib
from collections.abc import Generator
from typing import Any, Final, cast

from umbel.app.app import Umbel
from umbel.app.lazy import lazy
from umbel.contracts.broker import Broker
from umbel.contracts.powers import ResultStore

_KEPT: Final = frozenset({"conf", "periodic"})
"""What an app makes once and what knows no broker."""


@contextlib.contextmanager
def placed(app: Umbel, broker: Broker, store: ResultStore) -> Generator[None]:
    """Let *app* keep its jobs at *broker* and its results in *store*, which are one engine, for this block."""
    made = vars(app)
    before = {name: made.pop(name) for name in _lazy_names(app) if name in made}
    made.update(broker=broker, store=store, same_engine=True)
    try:
        yield
    finally:
        for name in _lazy_names(app):
            made.pop(name, None)
        made.update(before)


def _lazy_names(app: Umbel) -> set[str]:
    attributes = {name: value for kind in type(app).__mro__ for name, value in vars(kind).items()}
    kind = cast("type[Any]", lazy)  # to type checkers it is `property`
    return {name for name, value in attributes.items() if isinstance(value, kind)} - _KEPT
