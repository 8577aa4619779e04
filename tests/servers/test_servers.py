"""The launcher itself."""

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.servers import Disk, Redis, Server, ServerError, Service
from tests.servers.redis import command

Launch = Callable[[Service], Server]


def test_a_server_answers_at_its_address(redis_url: str, redis_server: Server) -> None:
    assert redis_url == f"redis://127.0.0.1:{redis_server.port}/0"
    assert command(redis_server.port, "PING") == "+PONG"


def test_the_shared_server_is_empty_at_first_and_repaired_if_need_be(
    redis_server: Server, request: pytest.FixtureRequest
) -> None:
    redis_server.ensure_running()
    command(redis_server.port, "SET left-over 1")
    redis_server.pause()
    request.getfixturevalue("redis_url")
    assert command(redis_server.port, "EXISTS left-over") == ":0"


def test_data_survive_a_kill_with_appendonly_always_on_the_same_port(launch: Launch) -> None:
    server = launch(Redis(appendonly="always"))
    port = server.port
    command(port, "SET kept 1")
    server.kill()
    assert not server.running
    server.start()
    assert server.port == port
    assert command(port, "EXISTS kept") == ":1"


def test_data_do_not_survive_a_kill_without_it(launch: Launch) -> None:
    server = launch(Redis())
    command(server.port, "SET lost 1")
    server.kill()
    server.start()
    assert command(server.port, "EXISTS lost") == ":0"


def test_a_restart_keeps_what_was_written(launch: Launch) -> None:
    server = launch(Redis(appendonly="everysec"))
    command(server.port, "SET kept 1")
    server.restart()
    assert command(server.port, "EXISTS kept") == ":1"


def test_a_paused_server_accepts_and_does_not_answer(launch: Launch) -> None:
    server = launch(Redis())
    with socket.create_connection(("127.0.0.1", server.port), 20) as connection:
        server.pause()
        connection.settimeout(0.2)
        connection.sendall(b"PING\r\n")
        with pytest.raises(TimeoutError):
            connection.recv(16)
        server.resume()
        connection.settimeout(20)
        assert connection.recv(16) == b"+PONG\r\n"


def test_options_reach_the_server(launch: Launch) -> None:
    server = launch(Redis(maxmemory="5mb", config=("maxmemory-policy allkeys-lru",)))
    assert command(server.port, "SET key value") == "+OK"
    with socket.create_connection(("127.0.0.1", server.port), 20) as connection:
        connection.sendall(b"CONFIG GET maxmemory-policy\r\n")
        assert b"allkeys-lru" in connection.recv(1024)


def test_a_server_that_does_not_start_shows_its_log(tmp_path: Path) -> None:
    server = Server(Redis(config=("nonsense yes",)), tmp_path)
    with pytest.raises(ServerError, match="nonsense"):
        server.start()
    server.close()


def test_a_full_disk_takes_nothing_more_until_it_is_freed(mount: Callable[[int], Disk]) -> None:
    disk = mount(2)
    disk.fill()
    with pytest.raises(OSError, match="No space left"):
        (disk.path / "more").write_bytes(b"x" * 5000)
    disk.free()
    (disk.path / "more").write_bytes(b"x" * 5000)


@pytest.mark.parametrize("end", [signal.SIGKILL, signal.SIGTERM])
def test_servers_end_with_the_process_that_started_them(tmp_path: Path, end: signal.Signals) -> None:
    script = (
        "import sys, time; from pathlib import Path; from tests.servers import Disk, Redis, Server\n"
        "server = Server(Redis(), Path(sys.argv[1])).start()\n"
        "print(server.pid, flush=True); time.sleep(60)"
    )
    with subprocess.Popen(
        [sys.executable, "-c", script, str(tmp_path)], stdout=subprocess.PIPE, cwd=Path(__file__).parents[2]
    ) as starter:
        assert starter.stdout is not None
        pid = int(starter.stdout.readline())
        starter.send_signal(end)
    deadline = time.monotonic() + 30
    while _lives(pid):
        assert time.monotonic() < deadline
        time.sleep(0.01)


def _lives(pid: int) -> bool:
    try:
        os.kill(pid, 0)
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except (ProcessLookupError, FileNotFoundError):
        return False
    return state != "Z"
