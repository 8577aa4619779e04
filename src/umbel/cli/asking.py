"""What the commands of control share: the app or a stand-in for it, consent before harm, moments and lists as text."""

from __future__ import annotations

import contextlib
import re
import sys
import time
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final

import click
import msgspec

from umbel.cli.command import Frame, names, said
from umbel.cli.opened import open_app
from umbel.contracts.capabilities import Power, demand
from umbel.exceptions import ImproperlyConfigured, UmbelError
from umbel.options import nearest
from umbel.settings.masking import masked

if TYPE_CHECKING:
    from umbel.app.app import Umbel

_UNITS: Final = {"s": 1.0, "m": 60.0, "h": 3_600.0, "d": 86_400.0}
_AGO: Final = re.compile(r"(\d+(?:\.\d+)?)([smhd])")

json_option: Final = click.option("-j", "--json", "as_json", is_flag=True, help="JSON.")
task_option: Final = click.option("--task", callback=said, metavar="NAME", help="Only jobs of this task.")
force_option: Final = click.option("-f", "--force", is_flag=True, help="Do not ask.")
queues_option: Final = click.option("-Q", "--queues", callback=names, metavar="A,B", help="Only these queues.")


def opened(frame: Frame) -> Umbel:
    """The app, or with `-b` a nameless one at that broker. Raises `ImproperlyConfigured`."""
    if frame.broker:
        from umbel.app.app import Umbel

        app = Umbel(set_as_current=False)
    else:
        app = open_app(frame)
    demand(app.broker, Power.PROCESSES, "asking it from another process", masked(app.conf.broker_url))
    return app


def agreed(question: str, *, force: bool) -> None:
    """Return if a person agrees, or *force* is given. Raises `ImproperlyConfigured` if nobody can be asked."""
    if force:
        return
    if not sys.stdin.isatty():
        raise ImproperlyConfigured(f"{question} Nobody can be asked here: give -f")
    click.confirm(question, abort=True, err=True)


def note_unknown(frame: Frame, app: Umbel, task: str) -> None:
    """Tell the person if neither *app* nor a worker that answers knows *task*: its jobs wait, maybe for ever."""
    known = _known(app, task)
    if task not in known:
        alike = nearest(task, known)
        frame.say(f"Note: neither the app nor a worker that answers knows the task {task!r}; its jobs wait{alike}")


def check_known(app: Umbel, task: str | None) -> None:
    """For who found nothing of *task*: raise `ImproperlyConfigured` if that is no wonder, as nobody knows it.

    If there is nobody who would know, neither an app nor workers, it may be right.
    """
    known = _known(app, task) if task is not None else None
    if known and task not in known:
        raise ImproperlyConfigured(
            f"neither the app nor a worker that answers knows the task {task!r}{nearest(str(task), known)}"
        )


def _known(app: Umbel, task: str) -> set[str]:
    """The tasks of *app*, and if *task* is none of them, those of the workers that answer."""
    told: dict[str, Any] = {}
    if task not in app.tasks:
        with contextlib.suppress(UmbelError):  # the broker carries no questions, or is away
            told = app.control.inspect().registered() or told
    lists = [_items(each) for each in told.values() if isinstance(each, list)]
    return {*app.tasks, *(str(name).partition(" ")[0] for each in lists for name in each)}


def stranger(app: Umbel, wanted: tuple[str, ...]) -> str:
    """What is wrong if one of the workers *wanted* does not live, while others do; then nobody is asked or told."""
    there = app.control.workers() if wanted else []
    missing = next((name for name in wanted if name not in there), "")
    if not (missing and there):
        return ""
    alike = [name for name in there if name.partition("@")[0] == missing.partition("@")[0]]
    cure = f": did you mean {' or '.join(alike)}?" if alike else nearest(missing, there)
    return f"no worker {missing} answered; there {'is' if len(there) == 1 else 'are'} {', '.join(there)}{cure}"


def show_json(found: Any) -> None:
    """Write *found* as JSON; what JSON lacks as text."""
    click.echo(msgspec.json.encode(found, enc_hook=str).decode())


def moment(_: click.Context, parameter: click.Parameter, text: str | None) -> float | None:
    """The unix time in *text*: ``90s``, ``10m``, ``2h`` or ``3d`` ago, or a date and time, in UTC unless it says so."""
    if text is None:
        return None
    ago = _AGO.fullmatch(text)
    if ago is not None:
        return time.time() - float(ago[1]) * _UNITS[ago[2]]
    try:
        found = datetime.fromisoformat(text)
    except ValueError:
        wrong = f"{text!r} is no moment: give one such as 2h (ago) or 2026-02-28T12:00"
        raise click.BadParameter(wrong, param=parameter) from None
    return (found if found.tzinfo is not None else found.replace(tzinfo=UTC)).timestamp()


def shown(unix: float | None) -> str:
    """*unix* time for people."""
    return "-" if unix is None else f"{datetime.fromtimestamp(unix, UTC):%Y-%m-%d %H:%M:%S}Z"


def call_text(task: str, args: Any, kwargs: Any, width: int = 60) -> str:
    """A call of *task* as one would write it, cut to *width* characters."""
    given = [repr(one) for one in _items(args)] + [f"{name}={value!r}" for name, value in _pairs(kwargs)]
    text = f"{task}({', '.join(given)})"
    return text if len(text) <= width else f"{text[: width - 1]}…"


def outlined(name: str, value: Any) -> list[str]:
    """Lines that show *value* under its *name*: one for each of its parts."""
    if isinstance(value, dict):
        lines = [f"{key}: {each}" for key, each in _pairs(value)]
    elif isinstance(value, list):
        lines = [str(each) for each in _items(value)]
    else:
        return [f"{name}: {value}"]
    return [f"{name}:", *(f"    {line}" for line in lines or ["-"])]


def _items(value: Any) -> list[Any]:
    return [*value] if isinstance(value, list | tuple) else [value]


def _pairs(value: Any) -> list[tuple[Any, Any]]:
    return [*value.items()] if isinstance(value, dict) else []
