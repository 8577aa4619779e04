"""A Redis Cluster: three primaries, and a replica of each."""

from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Self

from tests.servers.ports import Reservation, reserve
from tests.servers.redis import Redis, command
from tests.servers.sentinel import bulk, lines, until
from tests.servers.server import Server

PRIMARIES = 3
SLOTS = 16384
MEETINGS = 4
MEETING_SECONDS = 30.0
NODE_TIMEOUT_MILLISECONDS = 2500
STEADY_MILLISECONDS = 30_000
"""For a Cluster whose nodes nobody kills: on a busy machine none shall be taken for dead, and its replica for it."""


@dataclass
class Cluster:
    """Six nodes; also a context manager. *config* is for each, *patience* how long one may be silent."""

    folder: Path
    config: tuple[str, ...] = ()
    patience: int = NODE_TIMEOUT_MILLISECONDS
    nodes: list[Server] = field(default_factory=list)
    _buses: list[Reservation] = field(default_factory=list)
    _stack: ExitStack = field(default_factory=ExitStack)

    @property
    def url(self) -> str:
        """The address of the Cluster, known by its first two nodes."""
        return "redis+cluster://" + ",".join(f"127.0.0.1:{each.port}" for each in self.nodes[:2])

    @property
    def primaries(self) -> list[Server]:
        """The nodes that are primaries now, and run."""
        return [each for each in self.nodes if each.running and lines(each.port, "ROLE")[0] == "master"]

    def owner(self, key: str) -> Server:
        """The primary that holds *key*."""
        slot = int(command(self.primaries[0].port, f"CLUSTER KEYSLOT {key}")[1:])
        return next(each for each in self.primaries if slot in self._slots(each))

    def start(self) -> Self:
        """Start all, join them, and wait until each takes commands."""
        for number in range(2 * PRIMARIES):
            self._buses.append(reserve())
            self._stack.callback(self._buses[-1].release)
            server = Server(Redis(config=(*self.config, *self._lines(number))), self.folder / f"node-{number}")
            self._stack.callback(server.close)
            self.nodes.append(server.start())
        for number, node in enumerate(self.nodes[:PRIMARIES]):
            first, last = SLOTS * number // PRIMARIES, SLOTS * (number + 1) // PRIMARIES - 1
            _do(node, f"CLUSTER ADDSLOTSRANGE {first} {last}")
        # Else primaries settle their epochs later, and who is killed just then leaves a replica that nobody votes for.
        for number, node in enumerate(self.nodes, 1):
            _do(node, f"CLUSTER SET-CONFIG-EPOCH {number}")
        self._meet()
        for primary, replica in zip(self.nodes[:PRIMARIES], self.nodes[PRIMARIES:], strict=True):
            _do(replica, f"CLUSTER REPLICATE {bulk(primary.port, 'CLUSTER MYID')}")
        until(self.whole, "the Cluster is whole")
        return self

    def whole(self) -> bool:
        """Tell whether every node takes commands and every replica follows."""
        if not all(_info(each)["cluster_state"] == "ok" for each in self.nodes):
            return False
        roles = [lines(each.port, "ROLE") for each in self.nodes]
        replicas = [role for role in roles if role[0] == "slave"]
        return len(replicas) == PRIMARIES and all(role[3] == "connected" for role in replicas)

    def flush(self) -> None:
        """Empty all primaries."""
        for each in self.primaries:
            _do(each, "FLUSHALL")

    def close(self) -> None:
        """End all."""
        self._stack.close()

    def __enter__(self) -> Self:
        try:
            return self.start()
        except BaseException:
            self.close()
            raise

    def __exit__(self, *_: object) -> None:
        self.close()

    def _lines(self, number: int) -> tuple[str, ...]:
        return (
            "cluster-enabled yes",
            f"cluster-port {self._buses[number].port}",
            f"cluster-node-timeout {self.patience}",
            "cluster-replica-validity-factor 0",
            "repl-diskless-sync-delay 0",
        )

    def _meet(self) -> None:
        """Have all know each other. Handshakes that take longer than a node may be silent are begun anew."""
        for attempt in range(1, MEETINGS + 1):
            for node, bus in zip(self.nodes[1:], self._buses[1:], strict=True):
                _do(self.nodes[0], f"CLUSTER MEET 127.0.0.1 {node.port} {bus.port}")
            try:
                until(lambda: all(self._has_met_all(each) for each in self.nodes), "all met", MEETING_SECONDS)
            except TimeoutError:
                if attempt == MEETINGS:
                    raise
            else:
                return

    def _has_met_all(self, node: Server) -> bool:
        """Whether *node* knows the names of all: one with which it shakes hands yet has another name for it."""
        known = bulk(node.port, "CLUSTER NODES").splitlines()
        return len(known) == len(self.nodes) and not any("handshake" in line.split()[2] for line in known)

    def _slots(self, node: Server) -> range:
        for line in bulk(node.port, "CLUSTER NODES").splitlines():
            _, _, flags, *others = line.split()
            if "myself" in flags and len(others) > 5:
                first, _, last = others[5].partition("-")
                return range(int(first), int(last or first) + 1)
        return range(0)


def _do(node: Server, line: str) -> None:
    reply = command(node.port, line)
    if reply != "+OK":
        raise OSError(f"{line}: {reply}")


def _info(node: Server) -> dict[str, str]:
    return dict(line.split(":", 1) for line in bulk(node.port, "CLUSTER INFO").splitlines() if ":" in line)
