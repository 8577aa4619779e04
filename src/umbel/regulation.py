"""Regulation: what each job of a task stands under, computed from its arguments by sender and worker alike."""

from __future__ import annotations

import contextlib
import inspect
from collections.abc import Callable, Mapping, Sequence
from datetime import timedelta
from typing import Any, Final, NamedTuple, Protocol, TypeAlias, cast

import msgspec

from umbel.exceptions import EncodeError
from umbel.model.limit import Limit, Pace, Unique
from umbel.options import Key, Rate, rate_interval, seconds
from umbel.settings import Settings
from umbel.wire.arguments import Arguments
from umbel.wire.keys import key_text

Bound: TypeAlias = Mapping[str, Any]
"""The arguments of a call by the names of the parameters, defaults among them."""
Reader: TypeAlias = Callable[[Bound], str]

_SCOPES: Final = ("queued", "done")
_CONFLICTS: Final = ("return", "raise")
_BUILT_IN: Final = ("celery.", "umbel.")


class Options(Protocol):
    """What is asked of a task."""

    name: str
    arguments: Arguments
    rate_limit: Rate | None
    rate_limit_key: Key | None
    concurrency_limit: int | None
    concurrency_limit_key: Key | None
    fair_key: Key | None
    unique: Any
    unique_key: Key | None
    on_conflict: Any

    @property
    def regulation(self) -> Regulation | None:
        """What its options come to."""
        ...

    def run(self, *args: Any, **kwargs: Any) -> Any:
        """The body."""
        ...


class Standing(NamedTuple):
    """What one job stands under."""

    limit: Limit | None = None
    unique: Unique | None = None


NOTHING: Final = Standing()


class Regulation:
    """The limits, the fair turns and the unique key of one task.

    Raises `TypeError` or `ValueError`, naming the option, for what cannot be.
    """

    def __init__(self, task: Options) -> None:
        """Check the options of *task* and keep them."""
        self.task = task.name
        self._arguments = task.arguments
        self._signature = _signature(task)
        self._defaults, self._more = _filled_in(self._signature)
        self._interval = None if task.rate_limit is None else rate_interval(task.rate_limit, "rate_limit")
        self._concurrency = _concurrency(task.concurrency_limit)
        self._key = self._reader(*_counted_by(task))
        self._turn = self._reader("fair_key", task.fair_key)
        self._per_key = task.concurrency_limit_key is not None
        self.unique = _unique(task)
        """What makes its jobs unique but for the key; None if they are not."""
        self._unique_key = self._reader("unique_key", task.unique_key) or _all_arguments
        self.raises = task.on_conflict == "raise"
        """Whether a call that finds its key taken raises `DuplicateJob`."""

    def standing(self, conf: Settings, args: msgspec.Raw | bytes, kwargs: msgspec.Raw | bytes) -> Standing:
        """What a job with these encoded arguments stands under.

        Raises `DecodeError` for damaged arguments, `TypeError` for a key that cannot be computed, naming its option.
        """
        limited = self.counts(conf)
        if not limited and self.unique is None:
            return NOTHING
        bound = self._bound(args, kwargs)
        limit = unique = None
        if limited:
            key = "" if self._key is None else self._key(bound)
            limit = Limit(self.task, key, None if self._turn is None else self._turn(bound), self.pace(conf))
        if self.unique is not None:
            unique = msgspec.structs.replace(self.unique, key=f"{self.task}:{self._unique_key(bound)}")
        return Standing(limit, unique)

    def counts(self, conf: Settings) -> bool:
        """Whether its jobs stand under a limit, be it one that allows any rate until another one is set."""
        default = None if self._per_key else conf.task_default_rate_limit
        rated = (self._interval is not None or default is not None) and not conf.worker_disable_rate_limits
        return rated or self.pace(conf) != _ANY or self._turn is not None

    def pace(self, conf: Settings) -> Pace:
        """What the limits of the task allow under the settings *conf*."""
        interval = self._interval
        if conf.worker_disable_rate_limits:
            interval = 0.0
        elif interval is None:
            # The default is for a task as a whole; what one counts by another key is not the default's.
            default = None if self._per_key else conf.task_default_rate_limit
            interval = 0.0 if default is None else rate_interval(default, "task_default_rate_limit")
        return Pace(self._concurrency, interval)

    def _bound(self, args: msgspec.Raw | bytes, kwargs: msgspec.Raw | bytes) -> Bound:
        # As they arrive, not as they were given: only so both sides see the same.
        given, named = self._arguments.decode(args, kwargs)
        if self._signature is None:
            return {**{str(number): value for number, value in enumerate(given)}, **named}
        try:
            bound = self._signature.bind(*given, **named)
        except TypeError as error:
            raise TypeError(f"{self.task}: what the job is counted by cannot be computed: {error}") from None
        more: Bound = bound.arguments.pop(self._more, {}) if self._more else {}
        return {**self._defaults, **bound.arguments, **more}

    def _reader(self, option: str, key: Key | None) -> Reader | None:
        """What reads *key*, the value of *option*, from bound arguments."""
        if key is None:
            return None
        if callable(key):
            return lambda bound: self._text(option, _called(key, f"{self.task}: {option}", bound))
        names = tuple(cast("Sequence[object]", key)) if isinstance(key, list | tuple) else (key,)
        self._check_names(option, names)
        if isinstance(key, str):
            return lambda bound: self._text(option, self._value(option, key, bound))
        return lambda bound: self._text(option, [self._value(option, str(name), bound) for name in names])

    def _value(self, option: str, name: str, bound: Bound) -> object:
        if name not in bound:
            raise TypeError(f"{self.task}: {option} needs the argument {name!r}, which the call does not give")
        return bound[name]

    def _text(self, option: str, value: object) -> str:
        try:
            return key_text(value)
        except EncodeError as error:
            raise EncodeError(f"{self.task}: {option}: a value {error}") from None

    def _check_names(self, option: str, names: tuple[object, ...]) -> None:
        wrong = not names or not all(isinstance(name, str) for name in names)
        if wrong:
            raise TypeError(
                f"{option} is {names!r}: give the name of a parameter, a tuple of names, or a function of the arguments"
            )
        if self._signature is None:
            return
        known = self._signature.parameters
        if self._more:
            return
        for name in names:
            if name not in known:
                raise ValueError(
                    f"{option} names {name!r}, and the task has the parameters {', '.join(known) or 'none'}"
                )


_ANY: Final = Pace()


def regulation_of(task: Options, conf: Settings) -> Regulation | None:
    """What the jobs of *task* stand under in an app with the settings *conf*; None: under nothing."""
    own = task.regulation
    if own is not None or conf.task_default_rate_limit is None or task.name.startswith(_BUILT_IN):
        return own
    return Regulation(task) if "arguments" in vars(task) else None


def _signature(task: Options) -> inspect.Signature | None:
    try:
        return inspect.signature(task.run)
    except (TypeError, ValueError):  # some functions written in C do not tell
        return None


def _filled_in(signature: inspect.Signature | None) -> tuple[Bound, str]:
    """The defaults of parameters that can be part of a key, and the name of the parameter of all other keywords."""
    defaults: dict[str, Any] = {}
    more = ""
    for name, one in signature.parameters.items() if signature is not None else ():
        if one.kind is one.VAR_KEYWORD:
            more = name
        if one.default is not one.empty:
            with contextlib.suppress(EncodeError):
                key_text(one.default)
                defaults[name] = one.default
    return defaults, more


def _concurrency(given: object) -> int:
    if given is None:
        return 0
    if isinstance(given, bool) or not isinstance(given, int) or given < 1:
        raise ValueError(f"concurrency_limit is {given!r}: give a whole number above 0, or leave it out for no limit")
    return given


def _counted_by(task: Options) -> tuple[str, Key | None]:
    """The one key by which the limits of *task* count, and its option."""
    rate, concurrency = task.rate_limit_key, task.concurrency_limit_key
    if rate is not None and task.rate_limit is None:
        raise ValueError("rate_limit_key says what rate_limit counts by: give that, too")
    if concurrency is not None and task.concurrency_limit is None:
        raise ValueError("concurrency_limit_key says what concurrency_limit counts by: give that, too")
    if task.rate_limit is not None and task.concurrency_limit is not None and not _same(rate, concurrency):
        raise ValueError(
            f"rate_limit_key is {rate!r} and concurrency_limit_key is {concurrency!r}: a job is counted once, by one "
            "key, for both of its limits: give both the same, or make one of the two the limit of another task"
        )
    return ("rate_limit_key", rate) if rate is not None else ("concurrency_limit_key", concurrency)


def _same(one: Key | None, other: Key | None) -> bool:
    def plain(key: Key | None) -> object:
        return tuple(cast("Sequence[object]", key)) if isinstance(key, list | tuple) else key

    return plain(one) == plain(other)


def _unique(task: Options) -> Unique | None:
    given = task.unique
    if given is None or given is False:
        for option in ("unique_key", "on_conflict"):
            if getattr(task, option) is not None:
                raise ValueError(f"{option} is for jobs that are unique: give unique, too")
        return None
    if task.on_conflict not in (None, *_CONFLICTS):
        raise ValueError(f"on_conflict is {task.on_conflict!r}: give 'return' or 'raise'")
    return Unique("") if given is True else _lasting(given)


def _lasting(given: object) -> Unique:
    """For how long a key is taken, by the value of *unique*; the key itself is not known yet."""
    if isinstance(given, str) and given in _SCOPES:
        return Unique("", cast("Any", given))
    if not isinstance(given, int | float | timedelta):
        kind = ValueError if isinstance(given, str) else TypeError
        raise kind(f"unique is {given!r}: give 'queued', 'done' or a number of seconds")
    lasting = seconds(given, "unique")
    if lasting <= 0:
        raise ValueError(f"unique is {given!r}: give more than 0 seconds, 'queued' or 'done'")
    return Unique("", seconds=lasting)


def _called(key: Callable[[Bound], object], whose: str, bound: Bound) -> object:
    try:
        return key(bound)
    except Exception as error:
        raise TypeError(f"{whose} cannot be computed: {type(error).__name__}: {error}") from error


def _all_arguments(bound: Bound) -> str:
    return key_text(bound)


_SHOWN: Final = ("rate_limit", "concurrency_limit", "fair_key", "unique")


def shown(task: Options, conf: Settings) -> str:
    """The options of *task* that limit its jobs, as ``rate_limit=10/s unique=done``; empty if there are none."""
    if regulation_of(task, conf) is None:
        return ""
    given = {option: getattr(task, option) for option in _SHOWN}
    if given["rate_limit"] is None:
        default = conf.task_default_rate_limit
        given["rate_limit"] = f"{default:g}" if isinstance(default, float) else default
    if given["unique"] is True:
        given["unique"] = "done"
    if callable(given["fair_key"]):
        given["fair_key"] = getattr(given["fair_key"], "__name__", "a function")
    return " ".join(f"{option}={value}" for option, value in given.items() if value is not None and value is not False)
