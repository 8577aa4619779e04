"""RabbitMQ: one node with a name, ports and folders of its own; Erlang's distribution stays on loopback."""

import os
import socket
import subprocess
import time
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pamqp import commands, frame

from tests.servers.certificates import Authority
from tests.servers.packages import program
from tests.servers.ports import Reservation, reserve

PROGRAMS = ("/usr/lib/rabbitmq/bin/rabbitmq-server",)
PACKAGE = "rabbitmq-server"
ANSWER_SECONDS = 30.0
GREETING = b"AMQP\x00\x00\x09\x01"
PARTS = ("c0", "c1", "c2", "c3", "parked", "dead")
RUNGS = 25
FAREWELL_SECONDS = 60.0
FAREWELL_PAUSE_SECONDS = 0.01

EVAL_PROGRAMS = ("/usr/bin/erl_call",)
EVAL_PACKAGE = "erlang-base"
EVAL_SECONDS = 60.0

_further: dict[Path, tuple[Reservation, Reservation]] = {}

# The name service of Erlang is started beside the node, as its child: it ends with the node, and serves no other.
_SCRIPT = 'setpriv --pdeathsig KILL -- epmd -address 127.0.0.1 -port "$ERL_EPMD_PORT" & exec "$0"'


@dataclass(frozen=True)
class RabbitMQ:
    """A private RabbitMQ. *config* are further lines of rabbitmq.conf."""

    config: tuple[str, ...] = ()
    name: str = "rabbitmq"

    def command(self, folder: Path, port: int) -> list[str]:
        """Give the command, and write rabbitmq.conf into *folder*."""
        if folder not in _further:
            _further[folder] = (reserve(), reserve())
        epmd, distribution = _further[folder]
        settings = folder / "rabbitmq.conf"
        settings.write_text("\n".join(["log.console.level = warning", "log.file = false", *self.config]) + "\n")
        plugins = folder / "plugins"
        plugins.write_text("[].\n")
        variables = {
            "HOME": folder,
            "ERL_EPMD_ADDRESS": "127.0.0.1",
            "ERL_EPMD_PORT": epmd.port,
            "RUNNING_UNDER_SYSTEMD": "1",  # the Erlang machine takes the place of the shell: one process to kill
            "RABBITMQ_NODENAME": f"umbel{port}@localhost",
            "RABBITMQ_NODE_IP_ADDRESS": "127.0.0.1",
            "RABBITMQ_NODE_PORT": port,
            "RABBITMQ_DIST_PORT": distribution.port,
            "RABBITMQ_MNESIA_BASE": folder / "mnesia",
            "RABBITMQ_LOG_BASE": folder / "log",
            "RABBITMQ_LOGS": "-",
            "RABBITMQ_CONFIG_FILE": settings,
            "RABBITMQ_ENABLED_PLUGINS_FILE": plugins,
            "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS": "+S 2:2 +sbwt none +sbwtdcpu none +sbwtdio none "
            "-kernel inet_dist_use_interface {127,0,0,1}",
        }
        words = [f"{name}={value}" for name, value in variables.items()]
        return ["env", *words, "sh", "-c", _SCRIPT, program(PROGRAMS, PACKAGE)]

    def answers(self, port: int) -> bool:
        """Tell whether it greets clients."""
        try:
            with socket.create_connection(("127.0.0.1", port), ANSWER_SECONDS) as connection:
                connection.sendall(GREETING)
                return connection.recv(1) == b"\x01"
        except OSError:
            return False

    def url(self, port: int) -> str:
        """Give the amqp:// address of its first virtual host."""
        return f"amqp://guest:guest@127.0.0.1:{port}/"


class Line:
    """A plain connection with one channel. Shares nothing with the client under test. Raises `OSError`."""

    def __init__(self, port: int) -> None:
        """Connect and log in as guest."""
        self._socket = socket.create_connection(("127.0.0.1", port), ANSWER_SECONDS)
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._data = b""
        self._socket.sendall(GREETING)
        self.version = str(self._read().server_properties["version"])
        self.ask(commands.Connection.StartOk({}, "PLAIN", "\x00guest\x00guest", "en_US"), 0)
        self._send(commands.Connection.TuneOk(8, 131_072, 0), 0)
        self.ask(commands.Connection.Open("/"), 0)
        self.ask(commands.Channel.Open(), 1)

    def ask(self, command: Any, channel: int = 1) -> Any:
        """The answer to one command."""
        self._send(command, channel)
        return self._read()

    def purge(self, queue: str) -> None:
        """Delete the messages of *queue*, if there is such a queue, once nobody receives from it.

        Raises `TimeoutError` if somebody does for longer than a killed consumer may.
        """
        deadline = time.monotonic() + FAREWELL_SECONDS
        # RabbitMQ learns late that a consumer was killed, and puts back what that one had: after a purge, into the
        # next test.
        while self._consumers(queue):
            if time.monotonic() > deadline:
                raise TimeoutError(f"somebody still receives from {queue}: a test left a broker open")
            time.sleep(FAREWELL_PAUSE_SECONDS)
        if isinstance(self.ask(commands.Queue.Purge(queue=queue)), commands.Channel.Close):
            self._reopen()

    def _consumers(self, queue: str) -> int:
        answer = self.ask(commands.Queue.Declare(queue=queue, passive=True))
        if isinstance(answer, commands.Channel.Close):
            self._reopen()
            return 0
        return int(answer.consumer_count)

    def _reopen(self) -> None:
        self._send(commands.Channel.CloseOk(), 1)
        self.ask(commands.Channel.Open())

    def close(self) -> None:
        """Close the connection."""
        self._socket.close()

    def _send(self, command: Any, channel: int) -> None:
        self._socket.sendall(frame.marshal(command, channel))

    def _read(self) -> Any:
        while len(self._data) < 7 or len(self._data) < 8 + int.from_bytes(self._data[3:7], "big"):
            data = self._socket.recv(65_536)
            if not data:
                raise ConnectionResetError("RabbitMQ closed the connection")
            self._data += data
        size, _, answer = frame.unmarshal(self._data)
        self._data = self._data[size:]
        return answer


class Tls:
    """A further way into a node, over TLS: its certificate is for 127.0.0.1 alone, and it asks for that of a client."""

    def __init__(self, folder: Path) -> None:
        """Make certificates in *folder* and reserve a port; `config` is for the node."""
        self.authority = Authority(folder)
        self._reservation = reserve()
        self._own, self._client = self.authority.sign("server", "127.0.0.1"), self.authority.sign("client")

    @property
    def config(self) -> tuple[str, ...]:
        """The lines of rabbitmq.conf that open it."""
        return (
            f"listeners.ssl.1 = 127.0.0.1:{self._reservation.port}",
            f"ssl_options.cacertfile = {self.authority.certificate}",
            f"ssl_options.certfile = {self._own.certificate}",
            f"ssl_options.keyfile = {self._own.key}",
            "ssl_options.verify = verify_peer",
            "ssl_options.fail_if_no_peer_cert = true",
        )

    def url(self, host: str = "127.0.0.1", **options: str) -> str:
        """An address at which everything is right, but for *options*; an empty one is left out."""
        right = {"cacertfile": self.authority.certificate, "certfile": self._client.certificate}
        given = {**right, "keyfile": self._client.key, "verify": "verify_peer", **options}
        words = "&".join(f"{name}={value}" for name, value in given.items() if value)
        return f"amqps://guest:guest@{host}:{self._reservation.port}/?{words}"

    def close(self) -> None:
        """Give the port away."""
        self._reservation.release()


def evaluate(folder: Path, expression: str) -> str:
    """What the node with its data in *folder* answers to an Erlang *expression*. Raises `RuntimeError`."""
    cookie = (folder / ".erlang.cookie").read_text()
    _, distribution = _further[folder]
    words = [program(EVAL_PROGRAMS, EVAL_PACKAGE), "-address", f"127.0.0.1:{distribution.port}", "-c", cookie, "-e"]
    text = f"{expression}.\n"
    done = subprocess.run(words, input=text, capture_output=True, text=True, timeout=EVAL_SECONDS, check=False)
    if done.returncode or not done.stdout.startswith("{ok"):
        raise RuntimeError(f"{expression}: {done.stdout} {done.stderr}")
    return done.stdout


def sync(folder: Path) -> None:
    """Have the node in *folder* note which queues it has: killed just after a declaration it would forget that one."""
    evaluate(folder, "[dets:sync(Each) || Each <- dets:all()]")


def empty(port: int, queues: Iterable[str]) -> None:
    """Delete all messages that Umbel keeps for *queues* on the RabbitMQ on *port*, and every delayed one.

    The queues stay: to make one and to delete it takes RabbitMQ longer than all that a test does with it.
    """
    line = Line(port)
    try:
        for rung in range(RUNGS):  # first: what falls due there would get into a queue that is empty already
            line.ask(commands.Queue.Delete(queue=f"umbel.wait.{rung}"))
        for name in [f"umbel.{queue}.{part}" for queue in queues for part in PARTS]:
            line.purge(name)
    finally:
        line.close()


def install() -> str:
    """Give the path of the server's program, installed if it was missing. Raises `FileNotFoundError`."""
    # Debian's package starts a node of its own, which would only take up memory here.
    os.environ["RUNLEVEL"] = "1"
    return program(PROGRAMS, PACKAGE)
