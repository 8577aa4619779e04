"""Recoveries: how long after a server is back jobs run again, and until the last of those that were stranded has run.

``python -m tests.system.recoveries`` hurts each engine under load and prints a table; words choose scenarios by the
beginnings of their names (``redis "postgres, lines"``). It takes minutes and is no part of ``make test``. The servers
are private ones. The exit code is 1 if a job was lost or something took longer than `PROMISE_SECONDS`, beside the time
that as many jobs take when nobody is hurt: the column "calm".
"""

from __future__ import annotations

import argparse
import contextlib
import os
import random
import signal
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Final

import msgspec
import psycopg

from tests.servers import MariaDB, Postgres, RabbitMQ, Redis, Server, Service, rabbitmq
from tests.servers.cluster import Cluster
from tests.servers.sentinel import Watched, until
from tests.system.harness import Worker, eventually
from tests.system.stage import Stage
from umbel import AsyncResult
from umbel.exceptions import BrokerUnavailable
from umbel.testing.proxy import Proxy

PROMISE_SECONDS: Final = 10.0
LEASE_SECONDS: Final = 15.0
"""The one that workers have unless they are told otherwise."""
AWAY_SECONDS: Final = 3.0
JOBS: Final = 400
JOB_SECONDS: Final = 0.005
LAST_SECONDS: Final = 120.0
SEED: Final = 20_263

Hurt = Callable[[], float]
"""Does it, and answers the unix time at which all was well again."""


class Stand(msgspec.Struct):
    """Where jobs run, and what is done to it; without *hurt*, the worker that holds jobs is killed.

    *idle*: it is done when there is nothing to run, and jobs are sent afterwards.
    """

    url: str
    hurt: Hurt | None = None
    backend: str = ""
    idle: bool = False
    repair: Callable[[], None] = lambda: None


class Round(msgspec.Struct):
    """Seconds after all was well again: until a job started, a job could be sent, the last job ended."""

    resumed: float
    sent: float
    last: float
    lost: int
    twice: int


CLAIMS: Final = Redis(appendonly="everysec")

Scenario = Callable[["Servers"], Stand]


class Servers:
    """Starts what a scenario needs; all ends with it."""

    def __init__(self, folder: Path, stack: ExitStack) -> None:
        self.folder = folder
        self.stack = stack

    def start(self, service: Service) -> Server:
        """A private copy of *service*."""
        return self.stack.enter_context(Server(service, Path(tempfile.mkdtemp(prefix="umbel-"))))

    def before(self, server: Server) -> tuple[Proxy, str]:
        """A proxy before *server*, and the URL that goes through it."""
        proxy = self.stack.enter_context(Proxy(server.port))
        return proxy, server.url.replace(f":{server.port}", f":{proxy.port}")


# --- what is done


def killed(server: Server, seconds: float = AWAY_SECONDS) -> Hurt:
    """SIGKILL, and a start *seconds* later."""

    def hurt() -> float:
        server.kill()
        time.sleep(seconds)
        server.start()
        return time.time()

    return hurt


def away(server: Server) -> Hurt:
    """Killed for two leases."""
    return killed(server, 2 * LEASE_SECONDS)


def stopped_at_once(server: Server) -> Hurt:
    """What ``pg_ctl stop -m immediate`` does, and a start."""

    def hurt() -> float:
        os.kill(server.pid, signal.SIGQUIT)
        eventually(lambda: not server.running, "the server has stopped")
        time.sleep(AWAY_SECONDS)
        server.start()
        return time.time()

    return hurt


def frozen(server: Server) -> Hurt:
    """SIGSTOP for `AWAY_SECONDS`."""

    def hurt() -> float:
        server.pause()
        time.sleep(AWAY_SECONDS)
        server.resume()
        return time.time()

    return hurt


def ended_at_random(server: Server) -> Hurt:
    """Processes of PostgreSQL that serve us are ended at random, forty of them."""

    def hurt() -> float:
        chance = random.Random(SEED)
        with psycopg.connect(server.url, autocommit=True) as admin:
            for _ in range(20):
                pids = admin.execute("select pid from pg_stat_activity where application_name = 'umbel'").fetchall()
                for (pid,) in chance.sample(pids, min(2, len(pids))):
                    admin.execute("select pg_terminate_backend(%s)", (pid,))
                time.sleep(0.05)
        return time.time()

    return hurt


def cut(proxy: Proxy, seconds: float = AWAY_SECONDS) -> Hurt:
    """All connections are reset, and none is let in for *seconds*."""

    def hurt() -> float:
        proxy.cut()
        time.sleep(seconds)
        proxy.mend()
        return time.time()

    return hurt


def cut_thrice(proxy: Proxy) -> Hurt:
    """All connections are reset three times, 0.2 s apart."""

    def hurt() -> float:
        for _ in range(3):
            cut(proxy, 0.0)()
            time.sleep(0.2)
        return time.time()

    return hurt


def half_open(proxy: Proxy) -> Hurt:
    """Nothing passes any more on the connections of now, and nobody is told; new ones are well again at once."""

    def hurt() -> float:
        proxy.go_silent()
        proxy.mend()
        return time.time()

    return hurt


def slow(proxy: Proxy) -> Hurt:
    """Each piece is held back for 0.3 s."""

    def hurt() -> float:
        proxy.slow(0.3)
        time.sleep(AWAY_SECONDS)
        proxy.mend()
        return time.time()

    return hurt


def alarmed(server: Server, command: str, little: str, enough: str) -> Hurt:
    """RabbitMQ takes itself to be short of memory or disk; jobs are sent meanwhile, which it lets wait."""

    def hurt() -> float:
        rabbitmq.evaluate(server.folder, command.format(little))
        try:
            time.sleep(AWAY_SECONDS)
        finally:
            rabbitmq.evaluate(server.folder, command.format(enough))
        return time.time()

    return hurt


def failed_over(watched: Watched) -> tuple[Hurt, Callable[[], None]]:
    """The primary is killed; all is well when every Sentinel names another one. The old one comes back as a replica."""
    old: list[Server] = []

    def hurt() -> float:
        old.append(watched.primary)
        old[-1].kill()
        watched.failed_over(old[-1])
        return time.time()

    def repair() -> None:
        old[-1].start()

    return hurt, repair


def one_of_cluster_lost(cluster: Cluster) -> tuple[Hurt, Callable[[], None]]:
    """The primary of the queue is killed; all is well when its replica has taken its place."""
    old: list[Server] = []

    def hurt() -> float:
        old.append(cluster.owner("{default}"))
        primaries = set(cluster.primaries)
        old[-1].kill()
        until(lambda: not primaries.issuperset(cluster.primaries), "a replica has taken over")
        return time.time()

    def repair() -> None:
        old[-1].start()
        until(cluster.whole, "the Cluster is whole")

    return hurt, repair


# --- where it is done


def on_redis(hurt: Callable[[Server], Hurt]) -> Scenario:
    """A Redis with an append-only file, to which something is done."""

    def scenario(servers: Servers) -> Stand:
        server = servers.start(Redis(appendonly="everysec"))
        return Stand(server.url, hurt(server))

    return scenario


def on_postgres(hurt: Callable[[Server], Hurt]) -> Scenario:
    """A PostgreSQL to which something is done."""

    def scenario(servers: Servers) -> Stand:
        server = servers.start(Postgres())
        return Stand(server.url, hurt(server))

    return scenario


def on_rabbitmq(hurt: Callable[[Server], Hurt], claims: Service = CLAIMS) -> Scenario:
    """A RabbitMQ to which something is done, beside a store of claims."""

    def scenario(servers: Servers) -> Stand:
        server = servers.start(RabbitMQ())
        return Stand(server.url, hurt(server), servers.start(claims).url)

    return scenario


def on_claims(hurt: Callable[[Server], Hurt], claims: Service = CLAIMS) -> Scenario:
    """A RabbitMQ beside a store of claims to which something is done."""

    def scenario(servers: Servers) -> Stand:
        store = servers.start(claims)
        return Stand(servers.start(RabbitMQ()).url, hurt(store), store.url)

    return scenario


def through_proxy(
    service: Service, hurt: Callable[[Proxy], Hurt], claims: Service | None = None, *, idle: bool = False
) -> Scenario:
    """The connections to a server are hurt."""

    def scenario(servers: Servers) -> Stand:
        proxy, url = servers.before(servers.start(service))
        return Stand(url, hurt(proxy), servers.start(claims).url if claims is not None else "", idle)

    return scenario


def claims_through_proxy(hurt: Callable[[Proxy], Hurt], claims: Service = CLAIMS) -> Scenario:
    """The connections to the store of claims are hurt."""

    def scenario(servers: Servers) -> Stand:
        proxy, url = servers.before(servers.start(claims))
        return Stand(servers.start(RabbitMQ()).url, hurt(proxy), url)

    return scenario


def without_worker(service: Service, claims: Service | None = None) -> Scenario:
    """The worker that holds jobs is killed."""

    def scenario(servers: Servers) -> Stand:
        return Stand(servers.start(service).url, None, servers.start(claims).url if claims is not None else "")

    return scenario


def on_sentinels(servers: Servers) -> Stand:
    """Three Redis and three Sentinels: a failover."""
    watched = servers.stack.enter_context(Watched(servers.folder / "watched"))
    hurt, repair = failed_over(watched)
    return Stand(watched.url, hurt, repair=repair)


def on_cluster(servers: Servers) -> Stand:
    """Six nodes of Redis: one primary is lost."""
    cluster = servers.stack.enter_context(Cluster(servers.folder / "cluster"))
    hurt, repair = one_of_cluster_lost(cluster)
    return Stand(cluster.url, hurt, repair=repair)


def on_sqlite(servers: Servers) -> Stand:
    """A file."""
    return Stand(f"sqlite:///{servers.folder / 'jobs.db'}")


def short_of(kind: str) -> Callable[[Server], Hurt]:
    """RabbitMQ is short of "memory" or "disk"."""
    return lambda server: alarmed(server, *ALARMS[kind])


ALARMS: Final = {
    "memory": ("vm_memory_monitor:set_vm_memory_high_watermark({})", "1.0e-6", "0.4"),
    "disk": ("rabbit_disk_monitor:set_disk_free_limit({})", "900000000000000", "50000000"),
}
SCENARIOS: Final[dict[str, Scenario]] = {
    "sqlite, worker killed": on_sqlite,
    "redis killed": on_redis(killed),
    "redis away for two leases": on_redis(away),
    "redis frozen": on_redis(frozen),
    "redis cut off": through_proxy(Redis(), cut),
    "redis, lines cut": through_proxy(Redis(), cut_thrice),
    "redis, lines half open": through_proxy(Redis(), half_open),
    "redis, idle lines half open": through_proxy(Redis(), half_open, idle=True),
    "redis, lines slow": through_proxy(Redis(), slow),
    "redis, worker killed": without_worker(Redis()),
    "sentinel failover": on_sentinels,
    "cluster primary lost": on_cluster,
    "postgres killed": on_postgres(killed),
    "postgres away for two leases": on_postgres(away),
    "postgres stopped at once": on_postgres(stopped_at_once),
    "postgres frozen": on_postgres(frozen),
    "postgres backends ended": on_postgres(ended_at_random),
    "postgres cut off": through_proxy(Postgres(), cut),
    "postgres, lines cut": through_proxy(Postgres(), cut_thrice),
    "postgres, lines half open": through_proxy(Postgres(), half_open),
    "postgres, idle lines half open": through_proxy(Postgres(), half_open, idle=True),
    "postgres, lines slow": through_proxy(Postgres(), slow),
    "postgres, worker killed": without_worker(Postgres()),
    "rabbitmq killed": on_rabbitmq(killed),
    "rabbitmq away for two leases": on_rabbitmq(away),
    "rabbitmq frozen": on_rabbitmq(frozen),
    "rabbitmq short of memory": on_rabbitmq(short_of("memory")),
    "rabbitmq short of disk": on_rabbitmq(short_of("disk")),
    "rabbitmq cut off": through_proxy(RabbitMQ(), cut, CLAIMS),
    "rabbitmq, lines cut": through_proxy(RabbitMQ(), cut_thrice, CLAIMS),
    "rabbitmq, lines half open": through_proxy(RabbitMQ(), half_open, CLAIMS),
    "rabbitmq, idle lines half open": through_proxy(RabbitMQ(), half_open, CLAIMS, idle=True),
    "rabbitmq, lines slow": through_proxy(RabbitMQ(), slow, CLAIMS),
    "rabbitmq, worker killed": without_worker(RabbitMQ(), CLAIMS),
    "rabbitmq, claims in redis killed": on_claims(killed),
    "rabbitmq, claims in redis away for two leases": on_claims(away),
    "rabbitmq, claims in redis cut": claims_through_proxy(cut_thrice),
    "rabbitmq, claims in redis half open": claims_through_proxy(half_open),
    "rabbitmq, claims in postgres killed": on_claims(killed, Postgres()),
    "rabbitmq, claims in postgres cut": claims_through_proxy(cut_thrice, Postgres()),
    "rabbitmq, claims in postgres half open": claims_through_proxy(half_open, Postgres()),
    "rabbitmq, claims in mariadb killed": on_claims(killed, MariaDB()),
    "rabbitmq, claims in mariadb cut": claims_through_proxy(cut_thrice, MariaDB()),
    "rabbitmq, claims in mariadb half open": claims_through_proxy(half_open, MariaDB()),
}


# --- measured


def measure(scenario: Scenario, rounds: int) -> list[Round]:
    """Leave it in peace once, and hurt it so many times."""
    with tempfile.TemporaryDirectory(prefix="umbel-") as name, ExitStack() as stack:
        folder = Path(name)
        stand = scenario(Servers(folder, stack))
        stage = Stage(stand.url, folder, stand.backend)
        stage.app.conf.broker_send_deadline = 5.0  # as it is by default
        stack.callback(stage.end)
        workers = [stage.start().wait_ready()]
        found = [_measured(stage, msgspec.structs.replace(stand, hurt=time.time, idle=False), workers)]
        for _ in range(rounds):
            found.append(_measured(stage, stand, workers))
            stand.repair()
        return found


def _measured(stage: Stage, stand: Stand, workers: list[Worker]) -> Round:
    results = stage.work_many([JOB_SECONDS] * JOBS)
    enough = JOBS if stand.idle else JOBS // 20
    eventually(lambda: len(_ended(stage, results)) >= enough, "jobs have run")
    if stand.hurt is not None:
        well = stand.hurt()
    else:
        results += _worker_killed(stage, workers)
        well = time.time() + LEASE_SECONDS
    asked = time.time()
    results += _insistently(lambda: stage.work_many([0.0]))
    sent = time.time() - asked
    while len(_ended(stage, results)) < len(results) and time.time() < well + LAST_SECONDS:
        time.sleep(0.1)
    ids = {result.id for result in results}
    lines = [line for line in stage.ledger.lines() if line.job in ids]
    starts = [line for line in lines if line.phase == "S"]
    return Round(
        resumed=min([line.at - well for line in starts if line.at > well], default=0.0),
        sent=sent,
        last=max(0.0, *[line.at - well for line in lines if line.phase == "E"]),
        lost=len(ids) - len(_ended(stage, results)),
        twice=len(starts) - len({line.job for line in starts}),
    )


def _ended(stage: Stage, results: list[AsyncResult[int]]) -> set[str]:
    return stage.ledger.ends().keys() & {result.id for result in results}


def _insistently(send: Callable[[], list[AsyncResult[int]]]) -> list[AsyncResult[int]]:
    """What *send* answers, tried again while the broker gives no answer within its deadline."""
    while True:
        with contextlib.suppress(BrokerUnavailable):
            return send()


def _worker_killed(stage: Stage, workers: list[Worker]) -> list[AsyncResult[int]]:
    """Another worker is there before; answers what it has been sent while both were at work."""
    workers.append(stage.start().wait_ready())
    more = stage.work_many([JOB_SECONDS] * JOBS)
    stage.wait_started(more[0])
    workers.pop(0).kill()
    return more


def main() -> int:
    """Measure, and print a line for each scenario."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("names", nargs="*", help="beginnings of names of scenarios; all of them without")
    parser.add_argument("--rounds", type=int, default=3)
    given = parser.parse_args()
    kept = True
    sys.stdout.write(
        f"{'the worst of ' + str(given.rounds) + ' rounds':46} resumed    sent    last    calm    lost   twice\n"
    )
    for name, scenario in SCENARIOS.items():
        if given.names and not any(name.startswith(each) for each in given.names):
            continue
        calm, *found = measure(scenario, given.rounds)
        worst = [max(column) for column in zip(*(msgspec.structs.astuple(each) for each in found), strict=True)]
        resumed, sent, last, lost, twice = worst
        line = f"{name:46} {resumed:5.1f} s {sent:5.1f} s {last:5.1f} s {calm.last:5.1f} s {lost:7} {twice:7}"
        sys.stdout.write(f"{line}\n")
        sys.stdout.flush()
        kept = kept and not lost and max(resumed, last - calm.last) <= PROMISE_SECONDS
    return 0 if kept else 1


if __name__ == "__main__":
    sys.exit(main())
