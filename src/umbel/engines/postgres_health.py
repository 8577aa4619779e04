"""What the settings and the state of a PostgreSQL server mean for jobs. The judging is pure; `examine` asks."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Final

import msgspec

from umbel.engines.postgres import Engine
from umbel.engines.postgres_command import Rows, Statements
from umbel.engines.postgres_connection import OLDEST_VERSION
from umbel.model.finding import Finding, apart, clock

SQL: Final = Statements("umbel.engines", "postgres_health")
_OLD_TRANSACTION_SECONDS: Final = 3600.0
_OLD_SLOT_TRANSACTIONS: Final = 1_000_000
_CROWDED: Final = 0.9
_LEAST_DEAD_ROWS: Final = 100_000


class State(msgspec.Struct, frozen=True):
    """What the server tells of itself; see the statement ``state``."""

    number: int
    version: str
    standby: bool
    synchronous_commit: str
    fsync: str
    full_page_writes: str
    synchronous_standbys: str
    autovacuum: str
    now: float
    clients: int
    max_clients: int


async def examine(engine: Engine) -> list[Finding]:
    """What there is to say about the server and our tables. Raises `BrokerUnavailable` or `BrokerError`."""
    before = time.time()
    ((row,),) = await engine.acall([SQL("postgres_health.state")])
    ahead = apart(row[8], before, time.time())
    state = State(*row)
    changes, oldest, rows = await engine.acall(
        [SQL(f"postgres_health.{name}") for name in ("changes", "oldest", "rows")]
    )
    listens = engine.address.listen != engine.address.conninfo
    return [
        *settings(state, pooled=engine.pooled),
        *pooler(pooled=engine.pooled, listens=listens),
        Finding("tables", f"version {max((number for (number,) in changes), default=0)}"),
        *bloat(oldest, rows),
        clock(ahead),
    ]


def settings(state: State, *, pooled: bool) -> list[Finding]:
    """What the server's settings mean; *pooled*: our connections cannot change theirs."""
    return [_version(state), *_standby(state), _durability(state, pooled=pooled), *_vacuum(state), _clients(state)]


def pooler(*, pooled: bool, listens: bool) -> list[Finding]:
    """What a pooler in between means; *listens*: the URL names the way around it."""
    if not pooled:
        return []
    advice = "" if listens else "nobody can listen through a pooler, so whoever waits looks once a second: add ?listen="
    return [Finding("pooler", "in between" + (", with a way around it" if listens else ""), advice)]


def bloat(oldest: Rows, rows: Rows) -> list[Finding]:
    """What keeps dead rows, and how many there are."""
    found: list[Finding] = []
    for kind, name, age in oldest:
        slot = kind == "replication slot"
        value = f"{name}, {f'{age:,.0f} transactions' if slot else f'{age:,.0f} s'}"
        old = age > (_OLD_SLOT_TRANSACTIONS if slot else _OLD_TRANSACTION_SECONDS)
        advice = (
            f"the {kind} {name} keeps dead rows in every table, which makes each step slower: end it" if old else ""
        )
        found.append(Finding(f"oldest {kind}", value, advice))
    for living, dead in rows:
        many = dead > max(_LEAST_DEAD_ROWS, 2 * living)
        advice = "far more rows are dead than alive: see what keeps autovacuum from removing them" if many else ""
        found.append(Finding("rows", f"{living:,} alive, {dead:,} dead", advice))
    return found


def _version(state: State) -> Finding:
    if state.number >= OLDEST_VERSION * 10_000:
        return Finding("version", state.version)
    advice = f"PostgreSQL {state.version} is too old: use {OLDEST_VERSION} or later"
    return Finding("version", state.version, advice, broken=True)


def _standby(state: State) -> list[Finding]:
    if not state.standby:
        return []
    return [
        Finding("role", "standby", "it is a standby and takes no jobs: use the address of the primary", broken=True)
    ]


def _durability(state: State, *, pooled: bool) -> Finding:
    off = [name for name in ("fsync", "full_page_writes") if getattr(state, name) == "off"]
    commit = state.synchronous_commit
    replicated = commit in ("on", "remote_write", "remote_apply") and bool(state.synchronous_standbys)
    value = f"disk, synchronous_commit {commit}" + (
        f", confirmed by {state.synchronous_standbys}" if replicated else ""
    )
    if off:
        return Finding(
            "durability",
            f"memory, {' and '.join(off)} off",
            f"a power failure damages the data: set {' and '.join(off)} to on",
        )
    if pooled and commit == "off":
        advice = "synchronous_commit is off, and cannot be turned on through a pooler: alter the role, or jobs are lost"
        return Finding("durability", f"memory, synchronous_commit {commit}", advice)
    return Finding("durability", value)


def _vacuum(state: State) -> Sequence[Finding]:
    if state.autovacuum == "on":
        return []
    return [
        Finding("autovacuum", "off", "autovacuum is off: tables grow without end and each step gets slower; turn it on")
    ]


def _clients(state: State) -> Finding:
    value = f"{state.clients} of {state.max_clients}"
    crowded = state.clients > _CROWDED * state.max_clients
    return Finding("connections", value, "nearly all connections are taken: raise max_connections" if crowded else "")
