"""The primitives: chain, group and chord, signatures that are made of signatures."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, ClassVar, Self, TypeAlias, TypeGuard, cast

from umbel.canvas.several import Several
from umbel.canvas.signatures import Signature, is_signature, late, maybe_signature, reached

Any_: TypeAlias = Signature[Any]
Members: TypeAlias = "list[Any_] | Stream"


class Stream:
    """The members of a group that was made of a generator: taken one by one when they are sent, once.

    Whoever looks at them before that has them kept in memory.
    """

    def __init__(self, source: Iterator[Any]) -> None:
        """Take nothing from *source* yet."""
        self._source: Iterator[Any] | None = source
        self._kept: list[Any_] | None = None

    def members(self) -> list[Any_]:
        """All members, kept."""
        if self._kept is None:
            self._kept = list(self.taken())
        return self._kept

    def first(self) -> Any_ | None:
        """The first member; it is not lost by the look."""
        if self._kept is None and self._source is not None:
            source = self._source
            head = list(itertools.islice(source, 1))
            self._source = itertools.chain(head, source)
            return _member(head[0], 0) if head else None
        return next(iter(self._kept or ()), None)

    def taken(self) -> Iterator[Any_]:
        """The members; they are not kept unless they were before. Raises `RuntimeError` the second time."""
        if self._kept is not None:
            return iter(self._kept)
        if self._source is None:
            raise RuntimeError(
                "this group was made of a generator and sent already: make it of a list to send it twice"
            )
        source, self._source = self._source, None
        return (_member(each, index) for index, each in enumerate(source))


def _member(given: object, index: int) -> Any_:
    found = maybe_signature(given)
    if not is_signature(found):
        raise TypeError(f"member {index} is {given!r}: give signatures, as in task.s(…)")
    return found


def several(given: Sequence[Any]) -> list[Any]:
    """The signatures in *given*, the arguments of a primitive: they themselves, or one iterable of them."""
    only: Any = given[0] if len(given) == 1 else None
    return list(only) if _is_several(only) else list(given)


def _is_several(given: object) -> TypeGuard[Iterable[Any]]:
    return isinstance(given, Iterable) and not isinstance(given, Mapping)


def _is_read_once(given: object) -> TypeGuard[Iterator[Any]]:
    return isinstance(given, Iterator)


@Signature.register_type()
class chain(Signature[Any]):  # noqa: N801 - Celery's name
    """Tasks one after the other; each gets the value of the one before it. ``chain(a, b)`` is ``a | b``.

    The result is that of the last step; its `parent` leads back to the first.
    """

    subtask: ClassVar[str | None] = "chain"

    def __new__(cls, *tasks: Any, **options: Any) -> Any:
        """The steps joined from the left, as ``|`` does; that may be a group or a chord."""
        steps = [_member(each, index) for index, each in enumerate(several(tasks))]
        made = late("algebra").chained(steps) if len(steps) > 1 else cls.of(steps)
        return made.set(**options) if options else made

    def __init__(self, *tasks: Any, **options: Any) -> None:
        """All is done by ``__new__``."""

    @classmethod
    def of(cls, steps: list[Any_], like: Any_ | None = None) -> chain:
        """A chain of exactly *steps*, with the arguments and options of *like*."""
        made = Signature.__new__(cls)
        made.fill("celery.chain", (), {"tasks": steps}, {})
        if like is not None:
            made["args"], made["immutable"] = like.args, like["immutable"]
            made["options"] = dict(like.options)
            made.own_app = like.own_app
        made.depth = reached(steps, "a chain")
        return made

    @property
    def tasks(self) -> list[Any_]:
        """The steps."""
        return cast("list[Any_]", self.kwargs["tasks"])

    def set_immutable(self, immutable: bool) -> None:
        """Have the chain's first step take no partial arguments, or some again."""
        self["immutable"] = immutable

    def copied(self) -> Self:
        """A copy with copies of its parts."""
        twin = super().copied()
        twin.kwargs["tasks"] = [step.copied() for step in self.tasks]
        return twin

    def _add_kwargs(self, kwargs: Mapping[str, Any]) -> None:
        self.kwargs.update(kwargs)

    def parts(self) -> Iterator[Any_]:
        """The signatures that it is made of."""
        return iter(self.tasks)

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Send it, as Celery does; None when there is nothing to send."""
        return self.apply_async(args, kwargs) if self.tasks else None

    def __len__(self) -> int:
        return len(self.tasks)

    def __bool__(self) -> bool:
        return True

    def __repr__(self) -> str:
        return " | ".join(map(repr, self.tasks)) or "<empty chain>"


@Signature.register_type()
class group(Several):  # noqa: N801 - Celery's name
    """Tasks side by side: ``group(a, b)``, a list or a generator. The result is a `GroupResult`, in that order."""

    subtask: ClassVar[str | None] = "group"

    def __init__(self, *tasks: Any, **options: Any) -> None:
        """Take signatures, or one list or generator of them; a generator is read when the group is sent."""
        members: Members
        if len(tasks) == 1 and _is_read_once(tasks[0]):
            members = Stream(tasks[0])
        elif len(tasks) == 1 and isinstance(tasks[0], group):
            members = tasks[0].kwargs["tasks"]
        else:
            members = [_member(each, index) for index, each in enumerate(several(tasks))]
        self.fill("celery.group", (), {"tasks": members}, options)
        self.depth = reached(members, "a group") if isinstance(members, list) else 1

    @property
    def tasks(self) -> list[Any_]:
        """The members; those of a generator are kept from now on."""
        members: Members = self.kwargs["tasks"]
        return members.members() if isinstance(members, Stream) else members

    @property
    def is_stream(self) -> bool:
        """Whether the members come from a generator that was not read yet."""
        return isinstance(self.kwargs["tasks"], Stream)

    def taken(self) -> Iterator[Any_]:
        """The members for the one who sends them: those of a generator are not kept."""
        members: Members = self.kwargs["tasks"]
        return members.taken() if isinstance(members, Stream) else iter(members)

    def skew(self, start: float = 1.0, stop: float | None = None, step: float = 1.0) -> Self:
        """Give the members a countdown each: *start*, then *step* seconds more, up to *stop*, then *start* again."""

        def delays() -> Iterator[float]:
            while True:
                for number in itertools.count():
                    delay = start + number * step
                    if stop is not None and delay >= stop and number:
                        break
                    yield delay

        for member, delay in zip(self.tasks, delays(), strict=False):
            member.set(countdown=delay)
        return self

    def set_immutable(self, immutable: bool) -> None:
        """Have no member take further arguments, or all again."""
        for member in self.tasks:
            member.set_immutable(immutable)

    def link(self, callback: Any_) -> Any_:
        """Send *callback* when the first member has succeeded; it takes no value, as in Celery."""
        return self.tasks[0].link(callback.clone().set(immutable=True))

    def link_error(self, errback: Any_) -> Any_:
        """Tell *errback* of each member that has failed."""
        for member in self.tasks:
            member.link_error(errback.clone())
        return errback

    def copied(self) -> Self:
        """A copy with copies of its parts."""
        twin = super().copied()
        twin.kwargs["tasks"] = [member.copied() for member in self.tasks]
        return twin

    def _add_kwargs(self, kwargs: Mapping[str, Any]) -> None:
        self.kwargs.update(kwargs)

    def parts(self) -> Iterator[Any_]:
        """The signatures that it is made of."""
        return iter(self.tasks)

    def heads(self) -> Iterator[Any_]:
        """The members, but of a generator only the first."""
        members: Members = self.kwargs["tasks"]
        return iter(members) if isinstance(members, list) else filter(None, [members.first()])

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Send it."""
        return self.apply_async(args, kwargs)

    def __len__(self) -> int:
        return len(self.tasks)

    def __bool__(self) -> bool:
        return True

    def __repr__(self) -> str:
        members: Members = self.kwargs["tasks"]
        return "group(…)" if isinstance(members, Stream) else f"group([{', '.join(map(repr, members))}])"


@Signature.register_type()
class chord(Signature[Any]):  # noqa: N801 - Celery's name
    """A group and a body that gets the list of all its values, in order: ``chord([a, b], body)``."""

    subtask: ClassVar[str | None] = "chord"

    def __init__(self, header: Any, body: Any = None, args: Sequence[Any] = (), **options: Any) -> None:
        """Take a list, a generator, a group or one signature as *header*; *body* may be given by a call later."""
        members = header if isinstance(header, group) else _header(header)
        self.fill("celery.chord", tuple(args), {"kwargs": {}, "header": members, "body": None}, options)
        self.depth = reached([members], "a chord")
        self.body = None if body is None else _member(body, 0)

    @property
    def header(self) -> group:
        """The group that the body waits for."""
        return cast("group", self.kwargs["header"])

    @property
    def tasks(self) -> group:
        """The same as `header`."""
        return self.header

    @property
    def body(self) -> Any_ | None:
        """What gets the values."""
        return cast("Any_ | None", self.kwargs["body"])

    @body.setter
    def body(self, body: Any_ | None) -> None:
        self.kwargs["body"] = body
        if body is not None:
            self.depth = reached([self.header, body], "a chord")

    def set_immutable(self, immutable: bool) -> None:
        """Have no member of the header take further arguments, or all again."""
        self.header.set_immutable(immutable)

    def link(self, callback: Any_) -> Any_:
        """Send *callback* with the body's value; answers *callback*."""
        self.known_body().link(callback)
        return callback

    def link_error(self, errback: Any_) -> Any_:
        """Tell *errback* when the body has failed or cannot run."""
        self.known_body().link_error(errback)
        return errback

    def known_body(self) -> Any_:
        """The body. Raises `TypeError` when there is none yet."""
        if self.body is None:
            raise TypeError("this chord has no body yet: chord(header, body), or call it with the body")
        return self.body

    def copied(self) -> Self:
        """A copy with copies of its parts."""
        twin = super().copied()
        twin.kwargs["header"] = self.header.copied()
        twin.kwargs["body"] = None if self.body is None else self.body.copied()
        return twin

    def _add_kwargs(self, kwargs: Mapping[str, Any]) -> None:
        self.kwargs["kwargs"] = {**self.kwargs["kwargs"], **kwargs}

    def parts(self) -> Iterator[Any_]:
        """The header and the body."""
        yield from (self.header, self.body) if self.body is not None else (self.header,)

    def __call__(self, body: Any_ | None = None, **options: Any) -> Any:
        """Send it, with *body* if it was not given before."""
        whole = self if body is None else self.copied()
        if body is not None:
            whole.body = _member(body, 0)
        return whole.apply_async(**options)

    def __len__(self) -> int:
        return len(self.header)

    def __bool__(self) -> bool:
        return True

    def __repr__(self) -> str:
        return f"chord({self.header!r}, {self.body!r})"


def _header(given: Any) -> group:
    if _is_several(given):
        return group(given)
    found = _member(given, 0)
    return found if isinstance(found, group) else group([found])
