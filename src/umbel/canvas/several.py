"""Several: what groups and chunks have in common for type checkers: their handle is a `GroupResult`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Unpack

from umbel.canvas.signatures import Signature

if TYPE_CHECKING:
    from umbel.canvas.results import GroupResult
    from umbel.options import CanvasOptions

# mypy: disable-error-code="override"
# pyright: reportIncompatibleMethodOverride=false


class Several(Signature[list[Any]]):
    """A signature that is sent as several jobs."""

    __slots__ = ()

    if TYPE_CHECKING:

        def delay(self, *args: Any, **kwargs: Any) -> GroupResult:
            """Send it; see `Signature.delay`."""
            ...

        def apply_async(
            self, args: Sequence[Any] = (), kwargs: Mapping[str, Any] | None = None, **options: Unpack[CanvasOptions]
        ) -> GroupResult:
            """Send it; see `Signature.apply_async`."""
            ...

        async def adelay(self, *args: Any, **kwargs: Any) -> GroupResult:
            """The async twin of `delay`."""
            ...

        async def aapply_async(
            self, args: Sequence[Any] = (), kwargs: Mapping[str, Any] | None = None, **options: Unpack[CanvasOptions]
        ) -> GroupResult:
            """The async twin of `apply_async`."""
            ...

        def apply(
            self, args: Sequence[Any] = (), kwargs: Mapping[str, Any] | None = None, **options: Any
        ) -> GroupResult:
            """Run it here and now; see `Signature.apply`."""
            ...

        def freeze(self, _id: str | None = None, **ids: str | None) -> GroupResult:
            """Fix the ids of its jobs; see `Signature.freeze`."""
            ...
