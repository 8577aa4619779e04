"""A check-up of the engines of an app: broker and result store, what they tell of themselves, and whether they work."""

from __future__ import annotations

import platform
from collections.abc import Awaitable, Callable, Iterator
from functools import partial
from typing import TypeVar

import msgspec

from umbel import __version__
from umbel.app.connections import is_disabled, same_engine
from umbel.contracts.broker import Broker
from umbel.contracts.capabilities import Capable, Power, demand
from umbel.contracts.examiner import Examiner
from umbel.contracts.powers import Inspector, ResultStore
from umbel.exceptions import UmbelError
from umbel.model.finding import Finding
from umbel.settings import Settings
from umbel.settings.masking import masked
from umbel.stores.trial import try_out

Engine = TypeVar("Engine", Broker, ResultStore)


class Check(msgspec.Struct):
    """What was found of one engine. *error* is why it cannot be used; *powers* are named in lower case."""

    role: str
    url: str
    error: str = ""
    findings: list[Finding] = []
    powers: list[str] = []
    missing: list[str] = []

    @property
    def sound(self) -> bool:
        """Whether jobs can be trusted to it."""
        return not self.error and not any(finding.broken for finding in self.findings)


class Report(msgspec.Struct):
    """All of a check-up. *moot* are settings that tune nothing in Umbel."""

    umbel: str
    python: str
    sound: bool
    engines: list[Check]
    moot: list[str] = []


async def report(settings: Settings, broker: Callable[[], Broker], store: Callable[[], ResultStore]) -> Report:
    """Look at the engines of an app; *broker* and *store* connect to them. Raises nothing that an engine raises."""
    checks = [
        await checked(Check("broker", _shown(settings.broker_url)), broker, partial(_look_at_broker, settings=settings))
    ]
    if not is_disabled(settings.result_backend):
        check = Check("results", _shown(settings.result_backend))
        checks.append(await checked(check, store, partial(_look_at_results, settings=settings)))
    sound = all(check.sound for check in checks)
    return Report(__version__, platform.python_version(), sound, checks, list(settings.moot))


async def checked(
    check: Check, connect: Callable[[], Engine], look: Callable[[Engine, list[Finding]], Awaitable[None]]
) -> Check:
    """Complete *check*: *connect* makes the engine, *look* adds what it finds."""
    made: Engine | None = None
    try:
        made = connect()
        await look(made, check.findings)
    except (UmbelError, OSError) as error:
        check.error = str(error) or type(error).__name__
    finally:
        if made is not None:
            await made.aclose()
            made.close()
    if made is not None and isinstance(made, Capable):
        check.powers = [power.name.lower() for power in Power if power in made.powers]
        needless = {Power.DOOM} if Power.JOBS in made.powers else frozenset[Power]()  # who stops jobs needs no marks
        check.missing = [power.name.lower() for power in Power if power not in made.powers | needless]
    return check


def as_text(found: Report) -> str:
    """The report for a person."""
    return "\n".join(_lines(found))


async def _look_at_broker(broker: Broker, found: list[Finding], *, settings: Settings) -> None:
    demand(broker, Power.PROCESSES, "looking at it from another process", _shown(settings.broker_url))
    if isinstance(broker, Examiner):
        found += await broker.examine(thorough=True)
    if isinstance(broker, Inspector):
        queues = await broker.queues()
        found.append(Finding("queues", ", ".join(queues) or "none yet"))


async def _look_at_results(store: ResultStore, found: list[Finding], *, settings: Settings) -> None:
    if settings.result_backend and same_engine(settings) and not settings.broker_url.startswith("amqp"):
        found.append(Finding("place", "where the broker keeps them"))
    elif isinstance(store, Examiner):
        found += await store.examine(thorough=True)
    await try_out(store, settings)
    found.append(Finding("trial", "a record was written, kept, read and deleted"))


def _shown(url: str) -> str:
    return masked(url) or "given as an instance"


def _lines(found: Report) -> Iterator[str]:
    yield f"umbel {found.umbel}, Python {found.python}"
    for check in found.engines:
        yield from ("", f"{check.role}: {check.url}", *_about(check))
    if found.moot:
        yield from ("", f"settings that tune nothing in Umbel: {', '.join(found.moot)}")
    yield from ("", "Ready." if found.sound else "Not ready: see the lines with !!")


def _about(check: Check) -> Iterator[str]:
    rows = [(finding.name, finding.value) for finding in check.findings]
    if check.missing:
        rows.append(("missing powers", ", ".join(name.replace("_", " ") for name in check.missing)))
    width = max((len(name) for name, _ in rows), default=0)
    yield from (f"    {name.ljust(width)}  {value}" for name, value in rows)
    advised = [finding for finding in check.findings if finding.advice]
    yield from (f" {'!!' if finding.broken else ' !'} {finding.advice}" for finding in advised)
    if check.error:
        yield f" !! {check.error}"
