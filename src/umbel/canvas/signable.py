"""Signable: what a task can do with the canvas. The canvas itself is loaded when it is first used."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Generic, ParamSpec, TypeVar, cast

from umbel.calling import Said, said_by
from umbel.options import CallOptions

if TYPE_CHECKING:
    from umbel.canvas.mapping import chunks, xmap, xstarmap
    from umbel.canvas.seams import Callee
    from umbel.canvas.signatures import Signature

P = ParamSpec("P")
R = TypeVar("R")


class Signable(Generic[P, R]):
    """Makes signatures of the task that it is."""

    def s(self, *args: Any, **kwargs: Any) -> Signature[R]:
        """A signature with these arguments, all or some of them: ``add.s(2)``. In a chain the value comes first."""
        from umbel.canvas.signatures import Signature

        task: Any = self
        return Signature(task, args, kwargs)

    def si(self, *args: Any, **kwargs: Any) -> Signature[R]:
        """An immutable signature: it takes no value of the step before it."""
        from umbel.canvas.signatures import Signature

        return Signature(cast("Callee", self), args, kwargs, immutable=True)

    def sig(self, *args: P.args, **kwargs: P.kwargs) -> Signature[R]:
        """Like `si`, with arguments that type checkers look at."""
        return self.si(*args, **kwargs)

    def signature(
        self,
        args: Sequence[Any] = (),
        kwargs: Mapping[str, Any] | None = None,
        *,
        immutable: bool = False,
        **options: Any,
    ) -> Signature[R]:
        """A signature with *args*, *kwargs* and *options*, which are those of `apply_async`."""
        from umbel.canvas.signatures import Signature

        return Signature(cast("Callee", self), args, kwargs, options, immutable=immutable)

    subtask = signature

    def map(self, it: Iterable[Any]) -> xmap:
        """One job that calls this task with each item of *it*."""
        from umbel.canvas.mapping import xmap

        return xmap(self.s(), it)

    def starmap(self, it: Iterable[Sequence[Any]]) -> xstarmap:
        """One job that calls this task with each tuple of arguments in *it*."""
        from umbel.canvas.mapping import xstarmap

        return xstarmap(self.s(), it)

    def chunks(self, it: Iterable[Sequence[Any]], n: int) -> chunks:
        """A group of jobs that each call this task with *n* tuples of arguments of *it*."""
        from umbel.canvas.mapping import chunks

        return chunks(self.s(), it, n)

    def replace(self, sig: Signature[Any]) -> Any:
        """End this run and let *sig*, a signature or canvas, go on under this job's id: ``return self.replace(sig)``.

        Whoever waits for this job gets the value of *sig*; links and errbacks are kept. A group gives the list of its
        values. Raises `Ignore`; in place (`apply`) it runs *sig* and answers its value. Raises `ImproperlyConfigured`
        for an empty chain.
        """
        from umbel.canvas.replacing import replace

        return replace(cast("Any", self), sig)

    async def areplace(self, sig: Signature[Any]) -> Any:
        """The async twin of `replace`."""
        from umbel.canvas.replacing import areplace

        return await areplace(cast("Any", self), sig)

    def add_to_chord(self, sig: Signature[Any], lazy: bool = False) -> Any:
        """Let the chord whose member this job is wait for *sig*, too; answers its handle.

        It is sent in the step that ends this job with success. With *lazy* nothing happens yet: the answer is a
        signature that does so when this run calls it, with `delay` or `apply_async`; a chord never waits for one that
        is not sent. Raises `ValueError` when the job is no member of a chord.
        """
        from umbel.canvas.replacing import add_to_chord, joining

        return joining(cast("Any", self), sig) if lazy else add_to_chord(cast("Any", self), sig)

    def signature_from_request(
        self, request: Any = None, args: Sequence[Any] | None = None, kwargs: Mapping[str, Any] | None = None
    ) -> Signature[R]:
        """A signature of the job that runs, with its arguments unless others are given."""
        asked: Any = request if request is not None else cast("Any", self).request
        return self.signature(asked.args if args is None else args, asked.kwargs if kwargs is None else kwargs)

    def _told(self, said: Said, options: CallOptions) -> Said:
        """What a call with *options* says, among them whom to tell of its end."""
        from umbel.canvas.links import linked, popped

        rest: dict[str, Any] = dict(options)
        links = popped(rest, "link", "link_error")
        task = cast("Any", self)
        told = said_by(said, cast("CallOptions", rest), task.name)
        try:
            return linked(told, links, task.app)
        except (TypeError, ValueError) as error:
            raise type(error)(f"{task.name}: {error}") from error
