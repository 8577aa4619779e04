"""The signals of an app itself: it is configured, it is complete. Celery's interface."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar, overload

F = TypeVar("F", bound=Callable[..., Any])


class AppSignal:
    """Calls its receivers, ``receiver(sender=app, **kwargs)``, in the order in which they were connected."""

    def __init__(self, name: str) -> None:
        self.name = name
        self._receivers: list[Callable[..., Any]] = []

    @overload
    def connect(self, receiver: F, **options: Any) -> F: ...

    @overload
    def connect(self, receiver: None = None, **options: Any) -> Callable[[F], F]: ...

    def connect(self, receiver: Callable[..., Any] | None = None, **options: Any) -> Any:
        """Call *receiver* at this signal; also a decorator. *options* are Celery's: there is one sender, the app."""
        del options
        if receiver is None:
            return self.connect
        if receiver not in self._receivers:
            self._receivers.append(receiver)
        return receiver

    def disconnect(self, receiver: Callable[..., Any]) -> bool:
        """Call *receiver* no more; answers whether it was connected."""
        if receiver not in self._receivers:
            return False
        self._receivers.remove(receiver)
        return True

    def send(self, sender: object, **kwargs: Any) -> list[tuple[Callable[..., Any], Any]]:
        """Call all receivers; answers what each returned. Raises what one raises: a schedule must not be missing."""
        return [(receiver, receiver(sender=sender, **kwargs)) for receiver in list(self._receivers)]

    def __repr__(self) -> str:
        return f"<AppSignal {self.name}>"
