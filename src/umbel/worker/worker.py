"""What `umbel worker` starts: the supervisor, in an event loop of its own."""

from __future__ import annotations

import asyncio
import sys
from typing import Final

from umbel import log
from umbel.exceptions import ImproperlyConfigured
from umbel.worker import kernel
from umbel.worker.options import WorkerOptions
from umbel.worker.reading import Exporter
from umbel.worker.supervisor.supervisor import MISCONFIGURED, Supervisor

ENTRY: Final = "umbel.worker.child.child:run"
"""The function that is a child's life, as ``module:name``: only the forkserver may import it."""


def run_worker(options: WorkerOptions, entry: str = ENTRY, exporter: Exporter | None = None) -> int:
    """Run a worker until it is stopped; answers the exit code. Call it in the main thread.

    *exporter* writes the metrics that its health endpoint gives out; None: it gives out none.

    0 stopped as asked; 1 failed; 2 app, setting or broker URL is wrong, or stopped by force; 3 crash loop of the app.
    """
    try:
        log.setup(options.loglevel, options.logformat, options.logfile, options.color)
    except ImproperlyConfigured as error:
        sys.stderr.write(f"Error: {error}\n")
        return MISCONFIGURED
    kernel.set_title(f"umbel worker -A {options.app}")  # the command line may hold a password
    return asyncio.run(_run(options, entry, exporter))


async def _run(options: WorkerOptions, entry: str, exporter: Exporter | None) -> int:
    return await Supervisor(options, entry, exporter).run()
