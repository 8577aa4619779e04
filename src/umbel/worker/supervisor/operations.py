"""Operations: what a worker does for those who run it: health, signs of life, its size, its end, its reloads."""

from __future__ import annotations

import asyncio
from pathlib import Path

from umbel.contracts.broker import Broker
from umbel.contracts.powers import Inspector
from umbel.exceptions import ImproperlyConfigured
from umbel.worker.address import probe_address
from umbel.worker.options import WorkerOptions
from umbel.worker.reading import Exporter
from umbel.worker.sizing import autoscale_limits
from umbel.worker.supervisor.autoscaler import Autoscaler
from umbel.worker.supervisor.burst import Burst
from umbel.worker.supervisor.children import Children
from umbel.worker.supervisor.health import Health, reaches
from umbel.worker.supervisor.health_file import HealthFile
from umbel.worker.supervisor.health_server import HealthServer
from umbel.worker.supervisor.meter import Meter
from umbel.worker.supervisor.notify import Notify
from umbel.worker.supervisor.outage import Outage
from umbel.worker.supervisor.plan import Plan
from umbel.worker.supervisor.shutdown import Signals
from umbel.worker.supervisor.watcher import Watcher


class Operations:
    """Made when the plan stands; `run` is one more task of the supervisor."""

    def __init__(
        self, options: WorkerOptions, plan: Plan, children: Children, notify: Notify, exporter: Exporter | None = None
    ) -> None:
        """*exporter* writes metrics; None: nobody can. Raises `ImproperlyConfigured` for what cannot be."""
        self._options = options
        self._plan = plan
        self._children = children
        self._health = Health(children.living, lambda: reaches(children.plan))
        self.meter: Meter | None = None
        """What measures this worker; None: nobody can ask."""
        self._server: HealthServer | None = None
        if options.health:
            self.meter = None if exporter is None else Meter(children, self._health.verdict, exporter)
            self._server = HealthServer(probe_address(options.health), self._health.verdict, self.meter)
        self._file = HealthFile(Path(options.health_file)) if options.health_file else None
        folders = options.reload_dirs or (options.workdir or ".",)
        self._watcher = (
            Watcher([Path(folder) for folder in folders], options.reload_include) if options.reload else None
        )
        self.scaler: Autoscaler | None = None
        """What sees to the number of children; None: it stays as it is."""
        if options.autoscale:
            self.scaler = Autoscaler(children, plan.sizing.threads, *autoscale_limits(options.autoscale))
        self._health.told.append(notify.sign)
        if self._file is not None:
            self._health.told.append(self._file.tell)

    async def run(self, broker: Broker, outage: Outage, signals: Signals) -> None:
        """Do all of it until cancelled. Raises `ImproperlyConfigured`."""
        options = self._options
        if self.meter is not None:
            self.meter.broker = broker
        if self._server is not None:
            await self._server.start()
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(self._health.run())
                if self.scaler is not None:
                    group.create_task(self._scale(self.scaler, broker))
                if self._watcher is not None:
                    group.create_task(self._watcher.run(signals.reload))
                if options.burst:
                    group.create_task(self._burst(broker, outage, signals))
        except ExceptionGroup as errors:
            raise errors.exceptions[0] from None

    def stopping(self) -> None:
        """The worker is about to end: it is not ready any more."""
        self._health.stopping = True

    def close(self) -> None:
        """Answer nobody any more, and leave no file behind."""
        if self._server is not None:
            self._server.close()
        if self._file is not None:
            self._file.remove()

    async def _scale(self, scaler: Autoscaler, broker: Broker) -> None:
        if not isinstance(broker, Inspector):
            raise ImproperlyConfigured(f"--autoscale needs a broker that can tell what it holds: {self._plan.broker}")
        await scaler.run(broker, lambda: () if self._children.plan.quiet else self._children.plan.queues)

    async def _burst(self, broker: Broker, outage: Outage, signals: Signals) -> None:
        burst = Burst(broker, lambda: self._children.plan.queues, self._plan.lease, self._plan.broker)
        await self._children.ready.wait()
        await burst.over(outage)
        signals.warm.set()
