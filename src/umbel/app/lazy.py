"""An attribute that is made at its first use, once, whichever thread comes first."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from typing import Any, Generic, Self, TypeVar, cast, overload

T = TypeVar("T")


class _Turn:
    """Who may make an attribute. A process that was forked while another thread had the turn starts anew."""

    def __init__(self) -> None:
        self.lock = threading.RLock()

    def renew(self) -> None:
        self.lock = threading.RLock()


_turn = _Turn()
os.register_at_fork(after_in_child=_turn.renew)


class lazy(Generic[T]):  # noqa: N801 - used as a decorator, like property
    """Decorates the method that makes the attribute. Assigning to the attribute replaces what it would make."""

    def __init__(self, make: Callable[[Any], T]) -> None:
        """Remember how the attribute is made."""
        self._make = make
        self._name = make.__name__
        self.__doc__ = make.__doc__

    @overload
    def __get__(self, instance: None, owner: type[Any]) -> Self: ...
    @overload
    def __get__(self, instance: object, owner: type[Any]) -> T: ...
    def __get__(self, instance: object | None, owner: type[Any]) -> Self | T:
        if instance is None:
            return self
        made = vars(instance)
        with _turn.lock:
            if self._name not in made:
                made[self._name] = self._make(instance)
        # From now on the attribute is found in the instance, without this call.
        return cast("T", made[self._name])
