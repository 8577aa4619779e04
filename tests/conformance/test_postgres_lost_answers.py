"""A PostgreSQL whose answers get lost at random, after it did what it was asked: each job still runs once."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable, Generator
from contextlib import contextmanager

import psycopg
import pytest

from tests.patient import UNHURRIED
from umbel import Umbel
from umbel.engines.postgres_command import Command, Rows
from umbel.engines.postgres_connection import AsyncLine, Line
from umbel.testing import worker

SEED = 20_261
JOBS = 60
ONE_IN = 4
SECONDS = 40.0


@contextmanager
def losing(chance: Callable[[], bool]) -> Generator[list[Command]]:
    """Lose the answers to transactions as *chance* says; answers those that lost theirs."""
    lost: list[Command] = []

    def strike(line: Line | AsyncLine, command: Command) -> None:
        if command and chance():
            lost.append(command)
            line.pgconn.finish()
            raise psycopg.OperationalError("the answer was lost on purpose")

    run, arun = Line.run, AsyncLine.run

    def losing_run(line: Line, command: Command) -> list[Rows]:
        rows = run(line, command)
        strike(line, command)
        return rows

    async def losing_arun(line: AsyncLine, command: Command) -> list[Rows]:
        rows = await arun(line, command)
        strike(line, command)
        return rows

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Line, "run", losing_run)
        patch.setattr(AsyncLine, "run", losing_arun)
        yield lost


def test_jobs_whose_sends_receives_and_settles_lose_their_answers_run_once(postgres_url: str) -> None:
    app = Umbel("lost", broker=postgres_url, changes=UNHURRIED, set_as_current=False)
    runs: Counter[int] = Counter()

    @app.task(name="double")
    def double(number: int) -> int:
        runs[number] += 1
        return 2 * number

    chance = random.Random(SEED)
    with app, losing(lambda: chance.random() * ONE_IN < 1) as lost, worker(app, threads=2):
        results = [double.delay(number) for number in range(JOBS)]
        assert [result.get(timeout=SECONDS) for result in results] == [2 * number for number in range(JOBS)]
    assert runs == Counter(range(JOBS)), "each once"
    assert len(lost) > JOBS / ONE_IN / 2
