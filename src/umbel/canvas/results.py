"""GroupResult and ResultSet: handles of several jobs at once."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Callable, Generator, Iterable, Iterator, Mapping
from typing import Any, Final, TypeAlias, Unpack, cast

from umbel.asking import Source
from umbel.canvas.gathering import Look, Wait, aasked, asked, endings, gathered, leaves, told
from umbel.canvas.handles import Handles
from umbel.canvas.signatures import late
from umbel.chosen import find_app
from umbel.contracts.flows import FlowHolder
from umbel.engines.operation import Operation, adrive, drive
from umbel.lineage import Lineage
from umbel.options import GetOptions
from umbel.result import AsyncResult
from umbel.revocable import Revocable
from umbel.states import FAILURE, PROPAGATE_STATES, READY_STATES, SUCCESS

Member: TypeAlias = "AsyncResult[Any] | GroupResult"
SHOWN: Final = 10
Callback: TypeAlias = Callable[[str, Any], Any]


class ResultSet(Revocable):
    """Handles of several jobs, in order; they need not belong together. An async twin begins with "a"."""

    def __init__(self, results: Iterable[Any] = (), app: Source | None = None) -> None:
        """Keep *results*; *app* is the app of those, by default that of the first, else the current one."""
        self._made: list[Any] | Handles = results if isinstance(results, Handles) else list(results)
        self._app = app

    @property
    def results(self) -> list[Any]:
        """The handles, in order."""
        if isinstance(self._made, Handles):
            self._made = list(self._made)
        return self._made

    def peeked(self, index: int) -> Any:
        """A handle for a look at what never changes in it, such as its id."""
        return self._made[index]

    @property
    def app(self) -> Source:
        """The app whose store is asked."""
        if self._app is None:
            self._app = self.results[0].app if self.results else cast("Source", find_app())
        return self._app

    # --- which

    def add(self, result: Member) -> None:
        """Take *result* in, unless it is there."""
        if result not in self.results:
            self.results.append(result)

    def remove(self, result: Member | str) -> None:
        """Take *result*, a handle or an id, out. Raises `KeyError` when it is not there."""
        if result not in self.results:
            raise KeyError(str(result))
        self.results.remove(result)

    def discard(self, result: Member | str) -> None:
        """Take *result* out if it is there."""
        if result in self.results:
            self.results.remove(result)

    def update(self, results: Iterable[Member]) -> None:
        """Take *results* in."""
        for result in results:
            self.add(result)

    def clear(self) -> None:
        """Take all out."""
        self.results.clear()

    # --- looking

    def ready(self) -> bool:
        """Tell whether all have ended."""
        return all(result.ready() for result in self.results)

    def successful(self) -> bool:
        """Tell whether all have returned."""
        return all(result.successful() for result in self.results)

    def failed(self) -> bool:
        """Tell whether one has failed."""
        return any(result.failed() for result in self.results)

    def waiting(self) -> bool:
        """Tell whether one has not ended."""
        return not self.ready()

    def completed_count(self) -> int:
        """How many have returned."""
        return sum(bool(result.successful()) for result in self.results)

    async def aready(self) -> bool:
        """The async twin of `ready`."""
        return all(state in READY_STATES for state in await self._astates())

    async def asuccessful(self) -> bool:
        """The async twin of `successful`."""
        return all(state == SUCCESS for state in await self._astates())

    async def afailed(self) -> bool:
        """The async twin of `failed`."""
        return any(state == FAILURE for state in await self._astates())

    async def acompleted_count(self) -> int:
        """The async twin of `completed_count`."""
        return sum(state == SUCCESS for state in await self._astates())

    def maybe_throw(self, propagate: bool = True) -> None:
        """Raise the error of the first that has ended with one; never waits."""
        for result in self.results:
            result.maybe_throw(propagate)

    maybe_reraise = maybe_throw

    # --- waiting

    def join(
        self,
        timeout: float | None = None,
        propagate: bool = True,
        callback: Callback | None = None,
        **options: Unpack[GetOptions],
    ) -> list[Any]:
        """Wait for all and answer their values in order, or raise the first error in order.

        *timeout*, seconds, is for all together; 0 does not wait. With *propagate* false errors are in the list. With
        *callback* it is called with each id and value instead, in order, and the list is empty. *on_message* is told of
        each end as it comes, a dict as in Celery. Raises as `AsyncResult.get`.
        """
        self._check(options)
        rest = drive(self._gathered(timeout, options, propagate=propagate), asked)
        return self._values(propagate, callback, rest)

    get = join

    async def ajoin(
        self,
        timeout: float | None = None,
        propagate: bool = True,
        callback: Callback | None = None,
        **options: Unpack[GetOptions],
    ) -> list[Any]:
        """The async twin of `join`."""
        self._check(options)
        rest = await adrive(self._gathered(timeout, options, propagate=propagate), aasked)
        return self._values(propagate, callback, rest)

    def _values(self, propagate: bool, callback: Callback | None, options: GetOptions) -> list[Any]:
        found: list[Any] = []
        for result in self.results:
            value = result.get(0.0, propagate, **options)
            found.append(value) if callback is None else callback(result.id, value)
        return found

    aget = ajoin

    def __await__(self) -> Generator[Any, None, list[Any]]:
        return self.ajoin().__await__()

    def join_native(
        self,
        timeout: float | None = None,
        propagate: bool = True,
        callback: Callback | None = None,
        **options: Unpack[GetOptions],
    ) -> list[Any]:
        """Like `join`, but an error is raised as soon as it is seen, whatever its place."""
        self._check(options)
        values: dict[int, Any] = {}
        order = {id(result): index for index, result in enumerate(self.results)}
        for result in self._as_they_end(timeout):
            value = result.get(0, propagate, **options)
            if callback is None:
                values[order[id(result)]] = value
            else:
                callback(result.id, value)
        return [values[index] for index in sorted(values)]

    def iter_native(
        self, timeout: float | None = None, **options: Unpack[GetOptions]
    ) -> Iterator[tuple[str, Mapping[str, Any]]]:
        """Pairs of id and what Celery calls meta, ``{"status", "result", …}``, as the jobs end."""
        self._check(options)
        for result in self._as_they_end(timeout):
            if isinstance(result, ResultSet):
                yield str(result), {"status": SUCCESS, "result": result.results}
            else:
                shown = {"task_id": result.id, "status": result.state, "result": result.result}
                yield result.id, {**shown, "traceback": result.traceback}

    def iterate(self, timeout: float | None = None, propagate: bool = True) -> Iterator[Any]:
        """The values as they arrive."""
        for result in self._as_they_end(timeout):
            yield result.get(0, propagate)

    async def aiterate(self, timeout: float | None = None, propagate: bool = True) -> AsyncIterator[Any]:
        """The async twin of `iterate`."""
        import asyncio

        waiting = [asyncio.ensure_future(result.aget(timeout, propagate)) for result in self.results]
        try:
            for each in asyncio.as_completed(waiting):
                yield await each
        finally:
            for one in waiting:
                one.cancel()

    def _as_they_end(self, timeout: float | None) -> Iterator[Any]:
        """The handles as their jobs end."""
        for step in endings(self.results, timeout):
            if isinstance(step, list):
                yield from step
            else:
                drive(step, asked)

    def _gathered(
        self, timeout: float | None, options: GetOptions, *, propagate: bool
    ) -> Operation[Look | Wait, GetOptions]:
        """Wait for all; answers what is left of *options* for each one."""
        deadline = _deadline(timeout)
        if options.get("on_message") is not None or options.get("on_interval") is not None:
            yield from told(self.results, timeout, options, propagate=propagate)
        yield from gathered(self.results, deadline, propagate=propagate)
        return {"disable_sync_subtasks": options.get("disable_sync_subtasks", True)}

    def _check(self, options: GetOptions) -> None:
        first = next(leaves(self.results), None)
        if first is not None:
            first.check_place(options)

    async def _astates(self) -> list[str]:
        return [await result.astate() for result in self.results]

    # --- letting go

    def forget(self) -> None:
        """Delete the records."""
        for result in self.results:
            result.forget()

    async def aforget(self) -> None:
        """The async twin of `forget`."""
        for result in self.results:
            await result.aforget()

    def job_keys(self) -> list[tuple[str, str | None]]:
        """The id and, if it is known, the queue of each job in it."""
        return [key for leaf in leaves(self.results) for key in leaf.job_keys()]

    def revoke(self, *, terminate: bool = False, signal: str | int | None = None) -> None:
        """Revoke the flows that they are of, with all that follows there, and then the jobs as `AsyncResult.revoke`."""
        broker = self.app.broker
        if isinstance(broker, FlowHolder):
            for flow in self._flows():
                broker.flow_store.revoke_flow(flow, None)
        super().revoke(terminate=terminate, signal=signal)

    async def arevoke(self, *, terminate: bool = False, signal: str | int | None = None) -> None:
        """The async twin of `revoke`."""
        broker = self.app.broker
        if isinstance(broker, FlowHolder):
            for flow in self._flows():
                await broker.flow_store.arevoke_flow(flow, None)
        await super().arevoke(terminate=terminate, signal=signal)

    def _flows(self) -> set[str]:
        return {leaf.flow for leaf in leaves(self.results) if leaf.flow is not None}

    @property
    def supports_native_join(self) -> bool:
        """True: waiting is notified on every engine."""
        return True

    def __iter__(self) -> Iterator[Any]:
        return iter(self.results)

    def __len__(self) -> int:
        return len(self._made)

    def __getitem__(self, index: int) -> Any:
        return self.results[index]

    def __eq__(self, other: object) -> bool:
        return other.results == self.results if isinstance(other, ResultSet) else NotImplemented

    def __hash__(self) -> int:
        return hash(tuple(map(str, self.results)))

    def __repr__(self) -> str:
        return f"<{type(self).__name__}: [{', '.join(map(str, self.results))}]>"


class GroupResult(Lineage, ResultSet):
    """The handles of a group's members, in its order. *id* is the group's; *parent* what came before it."""

    def __init__(
        self,
        id: str | None = None,
        results: Iterable[Any] = (),
        app: Source | None = None,
        parent: Member | None = None,
    ) -> None:
        """Keep the handles."""
        super().__init__(results, app)
        self.id = id or ""
        self.parent: Any = parent

    @property
    def task_id(self) -> str:
        """The same as `id`."""
        return self.id

    @property
    def children(self) -> list[Any]:
        """The handles of the members."""
        return self.results

    @property
    def state(self) -> str:
        """SUCCESS when all have returned, FAILURE or REVOKED when all have ended and one not well; else PENDING."""
        states = [result.state for result in self.results]
        if not all(state in READY_STATES for state in states):
            return "PENDING"
        return next((state for state in states if state in PROPAGATE_STATES), SUCCESS)

    async def astate(self) -> str:
        """The async twin of `state`."""
        states = await self._astates()
        if not all(state in READY_STATES for state in states):
            return "PENDING"
        return next((state for state in states if state in PROPAGATE_STATES), SUCCESS)

    # --- keeping the handle itself

    def save(self) -> None:
        """Keep this handle in the result store, for `restore`; for as long as results are kept."""
        late("saving").save(self)

    async def asave(self) -> None:
        """The async twin of `save`."""
        await late("saving").asave(self)

    def delete(self) -> None:
        """Forget what `save` kept; the results stay."""
        self.app.store.forget(self.id, None)

    async def adelete(self) -> None:
        """The async twin of `delete`."""
        await self.app.store.aforget(self.id, None)

    @classmethod
    def restore(cls, id: str, app: Source | None = None) -> GroupResult | None:
        """The handle that was saved under the id *id*, or None. *app* is by default the current one."""
        source = cast("Source", app if app is not None else find_app())
        return cast("GroupResult | None", late("saving").restored(id, source.store.fetch(id, None), source))

    @classmethod
    async def arestore(cls, id: str, app: Source | None = None) -> GroupResult | None:
        """The async twin of `restore`."""
        source = cast("Source", app if app is not None else find_app())
        return cast("GroupResult | None", late("saving").restored(id, await source.store.afetch(id, None), source))

    def __bool__(self) -> bool:
        return bool(self.id or len(self))

    def __eq__(self, other: object) -> bool:
        if isinstance(other, GroupResult):
            return self.id == other.id and self.results == other.results
        return self.id == other if isinstance(other, str) else NotImplemented

    def __hash__(self) -> int:
        return hash(self.id)

    def __str__(self) -> str:
        return self.id

    def __repr__(self) -> str:
        return f"<GroupResult: {self.id} [{', '.join(map(str, self.results[:SHOWN]))}{', …' * (len(self) > SHOWN)}]>"


def _deadline(timeout: float | None) -> float | None:
    return None if timeout is None else time.monotonic() + timeout
