"""PostgreSQL, and pgbouncer in front of it."""

import atexit
import os
import pwd
import shutil
import socket
import subprocess
import tempfile
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil
import psycopg

from tests.servers.packages import program

PACKAGE = "postgresql"
VERSIONS = range(18, 12, -1)
USER = "postgres"
PASSWORD = "a secret / of tests"
QUOTED_PASSWORD = "a%20secret%20%2F%20of%20tests"
ANSWER_SECONDS = 20.0
ORPHAN_SECONDS = 60.0

_made: set[Path] = set()


@dataclass(frozen=True)
class Postgres:
    """A private PostgreSQL. *settings* are further lines of postgresql.conf; *home* is where its data folder is made.

    It refuses to run as root, so its data are in a folder of its own user, which ends with the process of the tests.
    """

    settings: tuple[str, ...] = ()
    home: Path | None = None
    name: str = "postgres"

    def command(self, folder: Path, port: int) -> list[str]:
        """Give the command; the first time make the database cluster."""
        data = _data(folder, self.home)
        if not (data / "PG_VERSION").exists():
            _make(data)
        _await_orphans(data)
        lines = [
            "listen_addresses = '127.0.0.1'", f"port = {port}", "unix_socket_directories = ''", "max_connections = 300",
            "shared_buffers = 64MB", "synchronous_commit = on", "logging_collector = off", *self.settings,
        ]  # fmt: skip
        settings = data / "umbel.conf"
        settings.write_text("\n".join(lines) + "\n")
        settings.chmod(0o644)
        return [*_as_its_user(), _program("postgres"), "-D", str(data), "-c", f"config_file={settings}"]

    def answers(self, port: int) -> bool:
        """Tell whether it lets clients in; while it starts it refuses them."""
        return subprocess.run(
            [_program("pg_isready"), "-q", "-h", "127.0.0.1", "-p", str(port), "-t", "2"], check=False
        ).returncode == 0  # fmt: skip

    def url(self, port: int) -> str:
        """Give the postgresql:// address of its database."""
        return f"postgresql://{USER}:{QUOTED_PASSWORD}@127.0.0.1:{port}/postgres"


@dataclass(frozen=True)
class PgBouncer:
    """A private pgbouncer in transaction mode, in front of the PostgreSQL on port *server*."""

    server: int
    name: str = "pgbouncer"

    def command(self, folder: Path, port: int) -> list[str]:
        """Give the command, and write its settings."""
        home = _data(folder)
        users = home / "users.txt"
        users.write_text(f'"{USER}" "{PASSWORD}"\n')
        settings = home / "pgbouncer.ini"
        settings.write_text(
            f"[databases]\npostgres = host=127.0.0.1 port={self.server}\n[pgbouncer]\nlisten_addr = 127.0.0.1\n"
            f"listen_port = {port}\nunix_socket_dir =\nauth_type = md5\nauth_file = {users}\n"
            "pool_mode = transaction\nmax_client_conn = 500\ndefault_pool_size = 40\nserver_login_retry = 1\n"
        )
        for file in (users, settings):
            file.chmod(0o644)
        return [*_as_its_user(), program(("pgbouncer", "/usr/sbin/pgbouncer"), "pgbouncer"), str(settings)]

    def answers(self, port: int) -> bool:
        """Tell whether it accepts connections."""
        try:
            socket.create_connection(("127.0.0.1", port), ANSWER_SECONDS).close()
        except OSError:
            return False
        return True

    def url(self, port: int) -> str:
        """Give the postgresql:// address that leads through it."""
        return f"postgresql://{USER}:{QUOTED_PASSWORD}@127.0.0.1:{port}/postgres"


class Admin:
    """Somebody else at the server at *url*, whose connection stays: a new one for each test would take its time."""

    def __init__(self, url: str) -> None:
        """Connect at the first use."""
        self._url = url
        self._connection: psycopg.Connection[Any] | None = None

    def empty(self) -> None:
        """Delete all that Umbel has in the database; its tables stay."""
        self._do(_EMPTY)

    def drop_results(self) -> None:
        """Drop the tables that the result store for SQL databases has made in the database."""
        self._do(_DROP_RESULTS)

    def close(self) -> None:
        """Close the connection."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def _do(self, statement: bytes) -> None:
        if self._connection is not None:
            with suppress(psycopg.OperationalError):  # the server was killed meanwhile
                self._connection.execute(statement)
                return
            self.close()
        self._connection = psycopg.connect(self._url, autocommit=True)
        self._connection.execute(statement)


# Tables without a row are left alone, and those with a few are not truncated: that makes new files for each index.
_EMPTY = b"""
do $$ declare each record; begin
    for each in
        select oid::regclass as name, pg_relation_size(oid) as bytes from pg_class
        where relnamespace = to_regnamespace('umbel') and relkind = 'r' and relname <> 'migration'
          and pg_relation_size(oid) > 0
    loop
        execute format(case when each.bytes > 65536 then 'truncate %s' else 'delete from %s' end, each.name);
    end loop;
end $$
"""
_DROP_RESULTS = b"""
do $$ declare each record; begin
    for each in
        select format('%I.%I', schemaname, tablename) as name from pg_tables
        where schemaname = 'public' and (tablename like 'umbel\\_results%' or tablename like 'umbel\\_claim\\_%')
    loop
        execute format('drop table %s', each.name);
    end loop;
end $$
"""


def install() -> None:
    """See to it that both are on this machine. Raises `FileNotFoundError`."""
    _program("postgres")
    program(("pgbouncer", "/usr/sbin/pgbouncer"), "pgbouncer")


def _program(name: str) -> str:
    # Debian keeps the programs of each version in a folder of their own, outside PATH.
    homes = [f"/usr/lib/postgresql/{version}/bin/{name}" for version in VERSIONS]
    return program([*homes, name], PACKAGE)


def _data(folder: Path, home: Path | None = None) -> Path:
    """Give the folder of the server's own user that belongs to *folder*, the same at every start."""
    note = folder / "data-folder"
    if not note.exists():
        made = Path(tempfile.mkdtemp(prefix="umbel-postgres-", dir=home))
        _made.add(made)
        if os.getuid() == 0:
            account = pwd.getpwnam(USER)
            os.chown(made, account.pw_uid, account.pw_gid)
        note.write_text(str(made))
    return Path(note.read_text())


def _make(data: Path) -> None:
    """Run initdb. Without fsync: a power cut during the tests is no test. MD5: thousands of logins cost minutes."""
    password = data.with_suffix(".password")
    password.write_text(PASSWORD)
    password.chmod(0o644)
    command = [
        *_as_its_user(), _program("initdb"), "-D", str(data), "-U", USER, "-A", "md5",
        f"--pwfile={password}", "-E", "UTF8", "--locale=C", "--no-sync",
    ]  # fmt: skip
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL, cwd=data)
    password.unlink()


def _await_orphans(data: Path) -> None:
    """Wait until the processes of a server that was killed have noticed: until then it cannot be started again."""
    end = time.monotonic() + ORPHAN_SECONDS
    while time.monotonic() < end and any(_home(process) == data for process in psutil.process_iter()):
        time.sleep(0.02)


def _home(process: psutil.Process) -> Path | None:
    try:
        return Path(process.cwd())
    except psutil.Error:
        return None


def _as_its_user() -> list[str]:
    if os.getuid() != 0:
        return []
    # Changing the user makes the kernel forget to kill it when we end, so that is asked for once more.
    return ["setpriv", f"--reuid={USER}", f"--regid={USER}", "--clear-groups", "--pdeathsig", "KILL", "--"]


@atexit.register
def _remove_all() -> None:
    for folder in _made:
        shutil.rmtree(folder, ignore_errors=True)
