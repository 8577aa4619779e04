"""An attribute that is made at its first use, once, whichever thread comes first."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

__all__ = ["lazy"]


class _Turn:
    """Who may make an attribute. A process that was forked while another thread had the turn starts anew."""

    def __init__(self) -> None:
        self.lock = threading.RLock()

    def renew(self) -> None:
        self.lock = threading.RLock()


_turn = _Turn()
os.register_at_fork(after_in_child=_turn.renew)

if TYPE_CHECKING:
    lazy = property  # to type checkers it is one: read only, and of the type that the method returns
else:

    class lazy:  # noqa: N801 - used as a decorator, like property
        """Decorates the method that makes the attribute; from then on the attribute is found without a call."""

        def __init__(self, make: Callable[[Any], Any]) -> None:
            self._make = make
            self._name = make.__name__
            self.__doc__ = make.__doc__

        def __get__(self, instance: object | None, owner: type) -> Any:
            if instance is None:
                return self
            made = vars(instance)
            with _turn.lock:
                if self._name not in made:
                    made[self._name] = self._make(instance)
            return made[self._name]
