"""Everything at once: `python -m examples.demo` starts workers, sends them work, and checks what they did.

No server is needed: jobs are in SQLite files, and the SMTP server is in this process. The dashboard runs beside it;
with ``SERVE=1`` it is served until Ctrl-C.
"""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
import sys
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Final

from examples.local_dashboard import local_dashboard
from examples.local_worker import LocalWorker
from examples.mailer.server import Mailbox

if TYPE_CHECKING:
    from umbel import Umbel

ROOT: Final = Path(__file__).parents[1]
OUTPUT: Final = ROOT / "build" / "demo"
DEADLINE_SECONDS: Final = 120.0
GREYLISTED: Final = "grey@example.com"
RECIPIENTS: Final = ("ada@example.com", "grace@example.com", GREYLISTED, "edsger@example.com")
PICTURES: Final = 12
FILES: Final = 100


class Wrong(Exception):
    """Something that ran did not do what it should have done."""


@dataclass(frozen=True)
class Row:
    """What one example did."""

    name: str
    jobs: int
    outcome: str
    retries: int = 0
    output: str = ""


def check(true: bool, otherwise: str) -> None:
    """Go on if *true*, else stop the demo and say *otherwise*."""
    if not true:
        raise Wrong(otherwise)


async def quickstart(folder: Path) -> Row:
    """The example of the README: tasks.py and consumer.py, untouched, in a folder of their own."""
    project = folder / "quickstart"
    shutil.copytree(ROOT / "examples" / "quickstart", project)
    async with LocalWorker("tasks", project, OUTPUT / "quickstart.log", {}) as worker:
        consumer = await asyncio.create_subprocess_exec(
            sys.executable, "consumer.py", cwd=project, stdout=asyncio.subprocess.PIPE
        )
        printed, _ = await worker.serves(consumer.communicate())
    print(printed.decode(), end="")
    lines = printed.decode().split()
    check(consumer.returncode == 0, f"consumer.py ended with exit code {consumer.returncode}")
    check(lines[-1:] == ["10"], f"4 + 6 should be 10; consumer.py printed {lines}")
    return Row("quickstart: add(4, 6)", 1, "printed 10")


async def mailer(folder: Path) -> Row:
    """Mail to four people, one of whose servers says "try again later" first."""
    del folder  # nothing is kept
    async with Mailbox(greylisted=frozenset({GREYLISTED})) as mailbox:
        from examples.mailer.tasks import send_mail

        variables = {"MAILER_SMTP": mailbox.address, "MAILER_BACKOFF": "0.5"}
        async with LocalWorker("examples.mailer.tasks", ROOT, OUTPUT / "mailer.log", variables) as worker:
            results = [await send_mail.adelay(each, "Hello", f"Dear {each}, this works.") for each in RECIPIENTS]
            ids = await worker.serves(asyncio.gather(*(each.aget(timeout=DEADLINE_SECONDS) for each in results)))
    arrived = sorted((recipient, str(mail["Message-ID"])) for recipient, mail in mailbox.received)
    check(arrived == sorted(zip(RECIPIENTS, ids, strict=True)), f"each mail should arrive once; arrived: {arrived}")
    retries = mailbox.tries.total() - len(RECIPIENTS)
    check(mailbox.tries[GREYLISTED] == 2, f"two tries were due for {GREYLISTED}: {mailbox.tries}")
    return Row("mailer: SMTP, one 451 greylisting", len(RECIPIENTS), f"{len(arrived)} mails, each once", retries)


async def images(folder: Path) -> Row:
    """Thumbnails of a dozen images, whose sizes are then measured."""
    from examples.images.draw import draw_all
    from examples.images.tasks import thumbnail

    pictures = draw_all(folder / "pictures", PICTURES)
    target = OUTPUT / "thumbnails"
    target.mkdir()
    async with LocalWorker("examples.images.tasks", ROOT, OUTPUT / "images.log", {}) as worker:
        results = [await thumbnail.adelay(str(picture), str(target)) for picture in pictures]
        made = await worker.serves(asyncio.gather(*(each.aget(timeout=DEADLINE_SECONDS) for each in results)))
    for picture, (path, width, height) in zip(pictures, made, strict=True):
        check_thumbnail(picture, Path(path), (width, height))
    check(len(list(target.iterdir())) == PICTURES, f"there should be {PICTURES} files in {target}, and nothing else")
    return Row("images: thumbnails with Pillow", PICTURES, "every size is right", output=str(target))


def check_thumbnail(picture: Path, path: Path, told: tuple[int, int]) -> None:
    """The thumbnail has the size that was told, fits the limits and keeps the proportions of *picture*."""
    from PIL import Image

    from examples.images.tasks import LARGEST

    with Image.open(picture) as before, Image.open(path) as after:
        after.load()
        scale = min(1.0, LARGEST[0] / before.width, LARGEST[1] / before.height)
        due = (before.width * scale, before.height * scale)
        near = all(abs(is_ - should) < 1 for is_, should in zip(after.size, due, strict=True))
        check(near, f"{path} is {after.size}, and should be {due}")
        check(after.size == told, f"{path} is {after.size}, and the task said {told}")


async def etl(folder: Path) -> Row:
    """Orders are read from many files; the worker is killed in the middle, and another goes on."""
    from examples.etl.orders import write_all
    from examples.etl.tasks import app, pipeline

    files, due = write_all(folder / "orders", FILES)
    target = OUTPUT / "report.json"
    result = await pipeline(files, target).adelay()
    slots = {"UMBEL_WORKER_PROCESSES": "1", "UMBEL_WORKER_THREADS": "4"}
    slowly = {**slots, "ETL_PAUSE": "0.2"}
    async with LocalWorker("examples.etl.tasks", ROOT, OUTPUT / "etl-killed.log", slowly) as worker:
        read = await worker.serves(files_read(app, result.id, FILES // 10))
        await worker.kill()
    check(read < FILES, "the worker should be killed in the middle, and had read all files")
    async with LocalWorker("examples.etl.tasks", ROOT, OUTPUT / "etl.log", slots) as worker:
        sums = await worker.serves(result.aget(timeout=DEADLINE_SECONDS))
    check(sums == due, f"the report should say {dict(due)}, and says {sums}")
    flow = await app.flows.aget(result.id)
    check(flow is not None and flow.state == "succeeded", f"the flow should have succeeded: {flow}")
    outcome = f"killed after {read} files; each counts once"
    return Row("etl: a chord over files, a killed worker", FILES + 1, outcome, output=str(target))


async def files_read(app: Umbel, flow: str, at_least: int) -> int:
    """How many files were read, as soon as they are *at_least* so many."""
    while True:
        found = await app.flows.aget(flow)
        read = max((node.joined for node in found.nodes), default=0) if found else 0
        if read >= at_least:
            return read
        await asyncio.sleep(0.02)


def print_table(rows: list[tuple[Row, float]]) -> None:
    """What ran, one line each, and where its output is."""
    heads = ("what ran", "jobs", "outcome", "retries", "time")
    cells = [(row.name, str(row.jobs), row.outcome, str(row.retries), f"{spent:.1f} s") for row, spent in rows]
    widths = [max(len(line[column]) for line in (heads, *cells)) for column in range(len(heads))]
    print()
    for line in (heads, tuple("-" * width for width in widths), *cells):
        print("  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip())
    print()
    for row, _ in rows:
        if row.output:
            print(f"{row.name.partition(':')[0]}: see {row.output}")
    print(f"logs of the workers: {OUTPUT}")


async def run(folder: Path) -> int:
    """Run every example, with the dashboard beside all but the first, which is on its own; answers the exit code."""
    rows: list[tuple[Row, float]] = []
    if not await run_one(quickstart, folder, rows):
        return 1
    os.environ["UMBEL_BROKER_URL"] = f"sqlite:///{OUTPUT / 'jobs.db'}"
    os.environ["UMBEL_HISTORY_URL"] = f"sqlite:///{OUTPUT / 'history.db'}"
    async with local_dashboard("examples.etl.tasks", ROOT, OUTPUT / "dashboard.log", {}) as address:
        for example in (mailer, images, etl):
            if not await run_one(example, folder, rows):
                return 1
        print_table(rows)
        await show(address)
    return 0


async def run_one(example: Callable[[Path], Awaitable[Row]], folder: Path, rows: list[tuple[Row, float]]) -> bool:
    """Run *example* and add what it did to *rows*; False if it went wrong."""
    name = str(getattr(example, "__name__", example))
    print(f"{name} …", flush=True)
    began = time.perf_counter()
    try:
        async with asyncio.timeout(DEADLINE_SECONDS):
            rows.append((await example(folder), time.perf_counter() - began))
    except Exception as error:  # noqa: BLE001 - whatever it is, the worker's log tells more
        print(f"\n{name} failed: {type(error).__name__}: {error}\n\nIts worker said:", file=sys.stderr)
        log = OUTPUT / f"{name}.log"
        print(log.read_text() if log.exists() else "(it was not started)", file=sys.stderr)
        return False
    return True


async def show(address: str) -> None:
    """Say where the dashboard is; with ``SERVE=1`` wait until somebody presses Ctrl-C."""
    if os.environ.get("SERVE", "") in {"", "0"}:
        print(f"dashboard: {address} with all of this, if you run make demo SERVE=1")
        return
    print(f"dashboard: {address} until you press Ctrl-C", flush=True)
    pressed = asyncio.Event()
    for each in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(each, pressed.set)
    await pressed.wait()


def main() -> int:
    """Run the demo in a temporary folder; what is worth keeping goes to build/demo."""
    shutil.rmtree(OUTPUT, ignore_errors=True)
    OUTPUT.mkdir(parents=True)
    os.environ.pop("UMBEL_BROKER_URL", None)
    os.environ.pop("UMBEL_RESULT_BACKEND", None)
    with TemporaryDirectory(prefix="umbel-demo-") as folder:
        return asyncio.run(run(Path(folder)))


if __name__ == "__main__":
    sys.exit(main())
