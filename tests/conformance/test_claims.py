"""Claims on each engine that can hold them; Sentinel and Cluster are in the files of their servers."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from tests.conformance.claim_suite import ClaimEssentials, ClaimSuite
from tests.patient import PATIENT
from umbel.claims.redis import RedisClaims
from umbel.claims.redis.operations import FOLDER
from umbel.claims.sql import SqlClaims
from umbel.claims.sql import connect as claims_at
from umbel.contracts.broker import Beat, Ended
from umbel.contracts.claims import Pointer
from umbel.engines.redis_command import Command, Script, load
from umbel.model.job import Counts
from umbel.settings import Settings
from umbel.stores.redis import RedisResultStore
from umbel.stores.sql import connect as store_at
from umbel.stores.threaded import ThreadedStore


class OnRedis(ClaimSuite):
    url: str

    def make(self, clock: Callable[[], float]) -> RedisClaims:
        return RedisClaims(self.url, PATIENT, clock)

    def make_store(self, clock: Callable[[], float]) -> RedisResultStore:
        del clock  # Redis's own decides when a record expires
        return RedisResultStore(self.url, PATIENT)


class TestRedis(OnRedis):
    @pytest.fixture(autouse=True)
    def _server(self, redis_url: str) -> None:
        self.url = redis_url


class OnDatabase(ClaimEssentials):
    url: str
    settings: Settings = PATIENT

    def make(self, clock: Callable[[], float]) -> SqlClaims:
        return claims_at(self.url, self.settings, clock)

    def make_store(self, clock: Callable[[], float]) -> ThreadedStore:
        return store_at(self.url, self.settings, clock)


class TestSqlite(OnDatabase):
    """Beside results in a table of another name, which claims write to."""

    @pytest.fixture(autouse=True)
    def _file(self, tmp_path: Path) -> None:
        self.url = f"db+sqlite:///{tmp_path}/results.db"
        self.settings = Settings(broker_send_deadline=20.0, database_table_names={"task": "shop"})


class TestMariaDB(OnDatabase):
    @pytest.fixture(autouse=True)
    def _server(self, mariadb_url: str) -> None:
        self.url = mariadb_url


class TestPostgres(OnDatabase, ClaimSuite):
    @pytest.fixture(autouse=True)
    def _server(self, postgres_results_url: str) -> None:
        self.url = postgres_results_url


# --- what keeps a doom in Redis is needed


async def _claimed(claims: RedisClaims, session: str) -> Counts:
    await claims.heartbeat([Beat(session)], ["q"], 60.0, opening=True)
    answers = await claims.claim(session, 1, "q", [Pointer("job")])
    assert answers is not None
    return answers[0].counts


async def _is_doomed_before_it_is_received(claims: RedisClaims) -> bool:
    await claims.adoom([("job", "q")])
    return (await _claimed(claims, "s")).doom == "revoked"


async def _is_doomed_by_the_end_of_its_session(claims: RedisClaims) -> bool:
    await _claimed(claims, "s")
    await claims.reclaim(["q"], 60.0, [Ended("s", ("job",), (("job", "timeout"),))])
    return await _claimed(claims, "another") == Counts(doom="timeout")


async def _keeps_its_first_doom(claims: RedisClaims) -> bool:
    return await _is_doomed_by_the_end_of_its_session(claims) and (
        (await claims.adoom([("job", "q")]))[0].place == "running" and claims.locate("job", "q").doom == "timeout"
    )


@pytest.mark.parametrize(
    ("script", "protection", "without", "holds"),
    [
        (
            "claim",
            "if not counts[5] and not counts[6] and not counts[7] then",
            "if not counts[5] and not counts[7] then",
            _is_doomed_before_it_is_received,
        ),
        ("close", "redis.call('HSETNX', job, 'doom', doom)", "", _is_doomed_by_the_end_of_its_session),
        ("close", "told[id] == '' and 1 or 0", "told[id] and 1 or 0", _is_doomed_by_the_end_of_its_session),
        ("doom", "and redis.call('HEXISTS', prefix .. 'j:' .. id, 'doom') == 0", "", _keeps_its_first_doom),
    ],
)
async def test_what_keeps_a_doom_in_redis_is_missed_when_it_is_off(
    redis_url: str, script: str, protection: str, without: str, holds: Callable[[RedisClaims], Awaitable[bool]]
) -> None:
    for expected in (True, False):
        claims = RedisClaims(redis_url, PATIENT)
        await claims._engine.acall([Command((b"FLUSHALL",))])
        if not expected:
            text = load(FOLDER, script).text
            assert text.count(protection) == 1
            claims._calls._scripts[script] = Script(script, text.replace(protection, without))
        assert await holds(claims) == expected
        await claims.aclose()
        claims.close()
