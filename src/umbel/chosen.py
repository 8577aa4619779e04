"""Which app is meant where none is named: the one that this context chose, else the one made last."""

from __future__ import annotations

from contextvars import ContextVar
from typing import Any, Final

from umbel.exceptions import ImproperlyConfigured

_chosen: Final[ContextVar[Any]] = ContextVar("umbel_app", default=None)
_default: Any = None


def find_app() -> Any:
    """The app of this context, typed by whoever asks. Raises `ImproperlyConfigured` when there is none."""
    app = _chosen.get() or _default
    if app is None:
        raise ImproperlyConfigured('there is no app yet: make one, as in app = Umbel("proj")')
    return app


def choose(app: object) -> None:
    """Make *app* the one of this context: this thread, or this asyncio task and those it starts."""
    _chosen.set(app)


def choose_default(app: object) -> Any:
    """Make *app* the one wherever none was chosen; answers which one it was before, None if none."""
    global _default
    before, _default = _default, app
    return before
