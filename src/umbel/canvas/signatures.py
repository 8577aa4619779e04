"""Signature: a call as data, Celery's dict. Partial arguments, options, links; several make a canvas."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from importlib import import_module
from typing import TYPE_CHECKING, Any, ClassVar, Final, Generic, Self, TypeGuard, TypeVar, Unpack, cast

from umbel.canvas.seams import Callee, Host
from umbel.canvas.stampable import Stampable
from umbel.chosen import find_app
from umbel.options import CanvasOptions

if TYPE_CHECKING:
    from umbel.result import AsyncResult, EagerResult

R_co = TypeVar("R_co", covariant=True)
Kind = TypeVar("Kind", bound="type[Signature[Any]]")

MAX_DEPTH: Final = 128
"""How many canvases may lie in one another."""
_NEVER_REPLACED: Final = frozenset({"group_id", "stamped_headers"})
_LINKS: Final = ("link", "link_error")


class Signature(dict[str, Any], Stampable, Generic[R_co]):
    """One call of a task, kept for later: ``add.s(2, 2)``. A dict in Celery's form, so it travels as an argument.

    *task* is a task or its name. Arguments given later come before those that are there; an *immutable* signature
    takes none. *options* are `CanvasOptions`. Iterating it and ``in`` mean the dict's keys.
    """

    __slots__ = ("depth", "flow_id", "own_app", "own_task")

    subtask: ClassVar[str | None] = None
    types: ClassVar[dict[str, type[Signature[Any]]]] = {}
    own_app: Host | None
    own_task: Callee | None
    depth: int
    flow_id: str | None

    def __init__(
        self,
        task: str | Callee,
        args: Sequence[Any] = (),
        kwargs: Mapping[str, Any] | None = None,
        options: Mapping[str, Any] | None = None,
        *,
        immutable: bool = False,
        app: Host | None = None,
    ) -> None:
        """Keep the call; nothing is checked before it is sent."""
        name, known = (task, None) if isinstance(task, str) else (task.name, task)
        self.fill(name, tuple(args), dict(kwargs) if kwargs else {}, dict(options) if options else {})
        self["immutable"] = immutable
        self.own_app = app
        self.own_task = known

    def fill(self, task: str, args: tuple[Any, ...], kwargs: dict[str, Any], options: dict[str, Any]) -> None:
        """Become the call of *task* with exactly these."""
        super().__init__(
            task=task, args=args, kwargs=kwargs, options=options, subtask_type=self.subtask, immutable=False
        )
        self.own_app = self.own_task = self.flow_id = None
        self.depth = 0

    # --- what it says

    @property
    def task(self) -> str:
        """The name of the task."""
        return cast("str", self["task"])

    @property
    def name(self) -> str:
        """The same as `task`."""
        return cast("str", self["task"])

    @property
    def args(self) -> tuple[Any, ...]:
        """The positional arguments so far."""
        return cast("tuple[Any, ...]", self["args"])

    @property
    def kwargs(self) -> dict[str, Any]:
        """The keyword arguments so far."""
        return cast("dict[str, Any]", self["kwargs"])

    @property
    def options(self) -> dict[str, Any]:
        """The options of the call."""
        return cast("dict[str, Any]", self["options"])

    @property
    def subtask_type(self) -> str | None:
        """Which canvas this is: chain, group, chord, xmap, xstarmap, chunks; None: a plain call."""
        return self.subtask

    @property
    def immutable(self) -> bool:
        """Whether it takes no further arguments."""
        return bool(self["immutable"])

    @immutable.setter
    def immutable(self, immutable: bool) -> None:
        self["immutable"] = immutable

    @property
    def id(self) -> str | None:
        """The id that its job will have, once it is fixed."""
        return self.options.get("task_id") or getattr(self.flow_id and self.freeze(), "id", None)

    @property
    def parent_id(self) -> str | None:
        """The id of the job that this one is said to come from."""
        return self.options.get("parent_id")

    @property
    def root_id(self) -> str | None:
        """The id of the job that its family is said to begin with."""
        return self.options.get("root_id")

    @property
    def app(self) -> Host:
        """The app that will send it: its own, its task's, else the current one. Raises `ImproperlyConfigured`."""
        if self.own_app is None:
            self.own_app = self.app_inside() or cast("Host", find_app())
        return self.own_app

    def app_inside(self) -> Host | None:
        """The first app that it or a signature in it was given, or None."""
        found: Host | None = self.own_app or getattr(self.own_task, "app", None)
        return found or next((app for part in self.heads() if (app := part.app_inside())), None)

    @property
    def type(self) -> Callee:
        """The task; one that is not registered here is known by its name alone."""
        if self.own_task is None:
            self.own_task = self.app.task_named(self.task)
        return self.own_task

    # --- saying more

    def clone(self, args: Sequence[Any] = (), kwargs: Mapping[str, Any] | None = None, **options: Any) -> Self:
        """A copy with *args* before its own, and with *kwargs* and *options* over its own."""
        twin = self.copied()
        if args or kwargs or options:
            twin.add(args, kwargs, options)
        return twin

    partial = clone

    def replace(
        self,
        args: Sequence[Any] | None = None,
        kwargs: Mapping[str, Any] | None = None,
        options: Mapping[str, Any] | None = None,
    ) -> Self:
        """A copy with *args*, *kwargs* and *options* in place of its own, as far as they are given."""
        twin = self.copied()
        if args is not None:
            twin["args"] = tuple(args)
        if kwargs is not None:
            twin["kwargs"] = dict(kwargs)
        if options is not None:
            twin["options"] = dict(options)
        return twin

    def set(self, immutable: bool | None = None, **options: Any) -> Self:
        """Set options, and whether it takes further arguments; answers itself."""
        if immutable is not None:
            self.set_immutable(immutable)
        self.options.update(options)
        return self

    def set_immutable(self, immutable: bool) -> None:
        """Have it take no further arguments, or some again."""
        self["immutable"] = immutable

    def link(self, callback: Signature[Any]) -> Signature[Any]:
        """Send *callback* with the value when this has succeeded; answers *callback*. The same one is sent once."""
        return self._attach("link", callback)

    def link_error(self, errback: Signature[Any]) -> Signature[Any]:
        """Tell *errback* when this has failed; answers *errback*. The same one is told once."""
        return self._attach("link_error", errback)

    def on_error(self, errback: Signature[Any]) -> Self:
        """Like `link_error`, but answers this signature."""
        self.link_error(errback)
        return self

    def flatten_links(self) -> list[Signature[Any]]:
        """This signature, its links, their links, and so on."""
        found: list[Signature[Any]] = []
        waiting: list[Signature[Any]] = [self]
        while waiting:
            one = waiting.pop()
            if all(one is not other for other in found):
                found.append(one)
                waiting += listed(one.options.get("link"))
        return found

    # --- sending it

    def delay(self, *args: Any, **kwargs: Any) -> AsyncResult[R_co]:
        """Send it with *args* before its own, and *kwargs*."""
        return self.apply_async(args, kwargs)

    def apply_async(
        self, args: Sequence[Any] = (), kwargs: Mapping[str, Any] | None = None, **options: Unpack[CanvasOptions]
    ) -> AsyncResult[R_co]:
        """Send it with *args* before its own, and *kwargs* and *options* over its own.

        Raises as `Task.delay`; in a canvas the error names the place. A canvas whose parts wait for one another needs
        a broker that holds flows: `ImproperlyConfigured` names those that do.
        """
        return cast("AsyncResult[R_co]", late("send").send(self, args, kwargs, cast("dict[str, Any]", options)))

    async def adelay(self, *args: Any, **kwargs: Any) -> AsyncResult[R_co]:
        """The async twin of `delay`."""
        return await self.aapply_async(args, kwargs)

    async def aapply_async(
        self, args: Sequence[Any] = (), kwargs: Mapping[str, Any] | None = None, **options: Unpack[CanvasOptions]
    ) -> AsyncResult[R_co]:
        """The async twin of `apply_async`."""
        return cast("AsyncResult[R_co]", await late("send").asend(self, args, kwargs, cast("dict[str, Any]", options)))

    def apply(
        self, args: Sequence[Any] = (), kwargs: Mapping[str, Any] | None = None, **options: Any
    ) -> EagerResult[R_co]:
        """Run it here and now, through the real codec and executor. Options as in `Task.apply`."""
        return cast("EagerResult[R_co]", late("eager").apply(self, args, kwargs, options))

    def freeze(self, _id: str | None = None, **ids: str | None) -> AsyncResult[R_co]:
        """Fix the ids of its jobs and answer the handle of what it will become; repeatable. *ids* are options."""
        self.options.update({name: value for name, value in {"task_id": _id, **ids}.items() if value is not None})
        return cast("AsyncResult[R_co]", late("send").freeze(self))

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Call the task's function here and now, as Celery does."""
        more_args, more_kwargs = self.with_arguments(args, kwargs)
        return self.type(*more_args, **more_kwargs)

    def __invert__(self) -> R_co:
        """Send it and wait for its value."""
        return self.apply_async().get()

    def __or__(self, other: object) -> Any:
        if not isinstance(other, Signature):
            return self.__ror__(other)
        return late("algebra").joined(self, other)

    __ior__ = __or__  # a dict's own two would merge the keys

    def __ror__(self, other: object) -> Any:
        raise TypeError(f"only signatures can be chained with |, not {other!r}: give task.s(…)")

    # --- Celery's form

    @classmethod
    def from_dict(cls, form: Mapping[str, Any], app: Host | None = None) -> Signature[Any]:
        """The signature or canvas that *form* describes, Celery's dict. Raises `TypeError`, naming the place."""
        return cast("Signature[Any]", late("form").read(form, app))

    @classmethod
    def register_type(cls, name: str | None = None) -> Callable[[Kind], Kind]:
        """Decorates the class of signatures whose dict says that it is of type *name*."""

        def register(kind: Kind) -> Kind:
            cls.types[name or kind.__name__] = kind
            return kind

        return register

    def to_json(self) -> str:
        """The signature as JSON text in Celery's form; ``umbel.signature(json.loads(text))`` reads it."""
        import json

        return json.dumps(self)

    def reprcall(self, *args: Any, **kwargs: Any) -> str:
        """The call as Python text."""
        more_args, more_kwargs = self.with_arguments(args, kwargs)
        shown = [*map(repr, more_args), *(f"{name}={value!r}" for name, value in more_kwargs.items())]
        return f"{self.task}({', '.join(shown)})"

    # --- the parts

    def with_arguments(
        self, args: Sequence[Any], kwargs: Mapping[str, Any] | None
    ) -> tuple[tuple[Any, ...], dict[str, Any]]:
        """Its arguments with *args* before them and *kwargs* over them, unless it is immutable."""
        if self.immutable:
            return self.args, self.kwargs
        return (*args, *self.args), {**self.kwargs, **(kwargs or {})}

    def add(self, args: Sequence[Any], kwargs: Mapping[str, Any] | None, options: Mapping[str, Any]) -> None:
        """Put *args* before its own arguments, *kwargs* and *options* over its own."""
        if not self.immutable:
            self["args"] = (*args, *self.args)
            self._add_kwargs(kwargs or {})
        kept = _NEVER_REPLACED & self.options.keys()
        self.options.update({name: value for name, value in options.items() if name not in kept and value is not None})

    def _add_kwargs(self, kwargs: Mapping[str, Any]) -> None:
        self["kwargs"] = {**self.kwargs, **kwargs}

    def copied(self) -> Self:
        """A copy; the parts of a canvas are copied, too."""
        twin = type(self).__new__(type(self))
        dict.__init__(twin, self)
        twin["kwargs"] = dict(self.kwargs)
        twin["options"] = {name: listed(value) if name in _LINKS else value for name, value in self.options.items()}
        twin.own_app, twin.own_task, twin.flow_id, twin.depth = self.own_app, self.own_task, None, self.depth
        return twin

    def _attach(self, option: str, callback: Signature[Any]) -> Signature[Any]:
        if not isinstance(callback, Signature):
            raise TypeError(f"{option}: {callback!r} is no signature: give task.s(…)")
        links = listed(self.options.get(option))
        if callback not in links:
            self.options[option] = [*links, callback]
        return callback

    def parts(self) -> Iterator[Signature[Any]]:
        """The signatures that this one is made of."""
        return iter(())

    def heads(self) -> Iterator[Signature[Any]]:
        """Those of its parts that can be looked at without reading a generator to its end."""
        return self.parts()

    def __copy__(self) -> Self:
        return self.copied()

    def __deepcopy__(self, _: dict[int, Any]) -> Self:
        return self.copied()

    def __repr__(self) -> str:
        return self.reprcall()


def signature(
    task: str | Callee | Mapping[str, Any],
    args: Sequence[Any] = (),
    kwargs: Mapping[str, Any] | None = None,
    *,
    options: Mapping[str, Any] | None = None,
    immutable: bool = False,
    app: Host | None = None,
    **more: Any,
) -> Signature[Any]:
    """A signature of *task*: a task, a name, a signature (which is copied) or Celery's dict. *more* are options."""
    if isinstance(task, Mapping):
        found: Signature[Any] = task.clone() if is_signature(task) else Signature.from_dict(task, app)
        if app is not None:
            found.own_app = app
        return found
    if not isinstance(task, str) and not hasattr(task, "_job"):
        raise TypeError(f"a signature is made of a task, its name or a dict, not of {task!r}")
    return Signature(task, args, kwargs, {**(options or {}), **more}, immutable=immutable, app=app)


subtask = signature


def maybe_signature(form: Any, app: Host | None = None, *, clone: bool = False) -> Any:
    """*form* as a signature if it is one or Celery's dict; None and anything else passes through."""
    if is_signature(form):
        return form.clone() if clone else form
    given: Any = form
    return Signature.from_dict(given, app) if isinstance(form, Mapping) and "task" in form else given


def is_signature(value: object) -> TypeGuard[Signature[Any]]:
    """Tell whether *value* is a signature or canvas."""
    return isinstance(value, Signature)


def late(module: str) -> Any:
    """The module of this room of that name: it knows signatures, so they meet it when they are used, not before."""
    return import_module(f"umbel.canvas.{module}")


def listed(links: Any) -> list[Signature[Any]]:
    """*links* as a list: they may be None, one signature or dict, or several."""
    if links is None:
        return []
    several = cast("Sequence[Any]", links if isinstance(links, list | tuple) else [links])
    return [maybe_signature(each) for each in several]


def reached(parts: Sequence[Signature[Any]], what: str) -> int:
    """The depth of a canvas over *parts*. Raises `ValueError` when there are too many in one another."""
    depth = 1 + max((part.depth for part in parts), default=0)
    if depth > MAX_DEPTH:
        raise ValueError(f"{what} is nested deeper than {MAX_DEPTH} levels, or contains itself")
    return depth
