"""What an app has beside tasks and settings: schedules, canvas, flows and the like. Each made when asked for."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, TypeVar, overload

from umbel.app.lazy import lazy

if TYPE_CHECKING:
    from umbel.app.commands import Commands
    from umbel.app.control import Control
    from umbel.app.dead import DeadLetters
    from umbel.app.events import Events
    from umbel.app.flows import Flows
    from umbel.app.periodic import Periodic
    from umbel.app.queues import Queues
    from umbel.app.schedules import Schedules
    from umbel.canvas.saving import Groups
    from umbel.canvas.signatures import Signature
    from umbel.options import Seconds
    from umbel.schedules import Rule
    from umbel.telling import Teller


F = TypeVar("F", bound="Callable[..., Any]")


class Administration:
    """The half of an app that most programs need little of: no module of it is imported before its first use."""

    @property
    def _whole(self) -> Any:
        """The app, as its parts see it: this class does not know its heir."""
        return self

    # --- schedules

    @lazy
    def periodic(self) -> Periodic:
        """The schedules that the code asks for."""
        from umbel.app.periodic import Periodic

        return Periodic(self._whole)

    @lazy
    def schedules(self) -> Schedules:
        """The schedules of the broker: list, add, remove, pause, resume and run them while workers run."""
        from umbel.app.schedules import Schedules
        from umbel.engines.address import masked

        return Schedules(self._whole.broker, masked(self._whole.conf.broker_url), self._whole)

    def add_periodic_task(
        self,
        schedule: Rule | Seconds,
        sig: object,
        args: Sequence[Any] = (),
        kwargs: Mapping[str, Any] | None = None,
        name: str | None = None,
        **options: Any,
    ) -> str:
        """Have *sig* (a task, its name or a signature) run by *schedule*; answers the name of the schedule.

        *options* are those of a call, and misfire, misfire_limit, grace, overlap, jitter, timezone, start, end and
        enabled. Raises `TypeError` or `ValueError`, naming what is wrong.
        """
        return self.periodic.add(schedule, sig, {"args": args, "kwargs": kwargs, "name": name}, options)

    # --- control

    @lazy
    def control(self) -> Control:
        """Stops jobs, and has workers do and tell things; `umbel revoke`, `umbel inspect` and `umbel control`."""
        from umbel.app.control import Control

        return Control(self._whole)

    @lazy
    def commands(self) -> Commands:
        """What the app adds to `umbel inspect` and `umbel control`; see `inspect_command`."""
        from umbel.app.commands import Commands
        from umbel.app.inspection import Inspect
        from umbel.app.orders import ASKING, TELLING

        return Commands({*ASKING, *TELLING, *dir(Inspect)})

    @overload
    def inspect_command(self, function: F) -> F: ...
    @overload
    def inspect_command(self, function: None = None, **options: Any) -> Callable[[F], F]: ...
    def inspect_command(self, function: Any = None, **options: Any) -> Any:
        """Add ``function(state, **arguments)``, which tells something of a worker: a decorator, as Celery's.

        *options* are name, args (pairs of a name and what makes the value of a word), signature and help. It runs in
        each child of each worker that is asked; what it returns, plain data, is the answer, and an error is one, too.
        """
        return self.commands.add("inspect", function, **options)

    @overload
    def control_command(self, function: F) -> F: ...
    @overload
    def control_command(self, function: None = None, **options: Any) -> Callable[[F], F]: ...
    def control_command(self, function: Any = None, **options: Any) -> Any:
        """Add a function that changes something in a worker; see `inspect_command`."""
        return self.commands.add("control", function, **options)

    @lazy
    def dead(self) -> DeadLetters:
        """The dead letters: jobs that were given up, to be looked at, run again or deleted; `umbel dead`."""
        from umbel.app.dead import DeadLetters

        return DeadLetters(self._whole)

    @lazy
    def queues(self) -> Queues:
        """The queues of the broker: list, pause and resume them, and show their jobs; `umbel queues`, `umbel list`."""
        from umbel.app.queues import Queues

        return Queues(self._whole)

    # --- watching

    @lazy
    def events(self) -> Events:
        """What happens to jobs, flows, schedules and workers, as it happens; `umbel events`."""
        from umbel.app.events import Events

        return Events(self._whole)

    @lazy
    def teller(self) -> Teller | None:
        """What tells in events of the jobs that are sent from here; None if they are not told of."""
        from umbel.app.watching import teller_of

        return teller_of(self._whole)

    # --- the canvas

    @lazy
    def flows(self) -> Flows:
        """The flows of the broker: list, show, revoke and retry them."""
        from umbel.app.flows import Flows

        return Flows(self._whole)

    def signature(self, task: Any, args: Sequence[Any] = (), kwargs: Any = None, **options: Any) -> Signature[Any]:
        """A signature that this app sends; see `umbel.signature`."""
        from umbel.canvas import signature

        return signature(task, args, kwargs, app=self._whole, **options)

    @lazy
    def GroupResult(self) -> Groups:  # noqa: N802 - Celery's name
        """The handles of groups of this app: make one with an id and the handles of its members, or restore one."""
        from umbel.canvas.saving import Groups

        return Groups(self._whole)
