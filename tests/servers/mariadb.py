"""MariaDB, which stands for MySQL too."""

import socket
import subprocess
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from tests.servers.packages import program

PROGRAMS = ("mariadbd", "mysqld")
INSTALLERS = ("mariadb-install-db", "mysql_install_db")
PACKAGE = "mariadb-server"
ANSWER_SECONDS = 30.0
EMPTY_SECONDS = 120
HANDSHAKE = 10
"""The version of the protocol, with which the server's first packet begins."""

SETUP = """\
create database if not exists umbel;
create user if not exists 'umbel'@'%' identified by 'secret';
grant all on *.* to 'umbel'@'%' with grant option;
"""


@dataclass(frozen=True)
class MariaDB:
    """A private MariaDB with a database and a user of the name umbel. *config* are further options."""

    config: tuple[str, ...] = ()
    name: str = "mariadb"

    def command(self, folder: Path, port: int) -> list[str]:
        """Give the command; make the server's own tables in *folder* unless they are there."""
        data, user = folder / "data", "--user=root"  # as root it asks to be told so, as anybody else it does not care
        if not data.exists():
            installer = program(INSTALLERS, PACKAGE)
            words = ["--no-defaults", f"--datadir={data}", user, "--auth-root-authentication-method=normal"]
            subprocess.run([installer, *words, "--skip-test-db"], check=True, stdout=subprocess.DEVNULL)
        (folder / "setup.sql").write_text(SETUP)
        return [
            program(PROGRAMS, PACKAGE),
            "--no-defaults",
            user,
            f"--datadir={data}",
            f"--port={port}",
            "--bind-address=127.0.0.1",
            "--socket=own.sock",  # inside the data: the path of a socket must be short
            f"--pid-file={folder}/pid",
            f"--init-file={folder}/setup.sql",
            "--skip-name-resolve",
            "--innodb-buffer-pool-size=32M",
            "--innodb-log-file-size=16M",
            *self.config,
        ]

    def answers(self, port: int) -> bool:
        """Tell whether it greets a client."""
        try:
            with socket.create_connection(("127.0.0.1", port), ANSWER_SECONDS) as connection:
                greeting = connection.recv(5)
        except OSError:
            return False
        return len(greeting) == 5 and greeting[4] == HANDSHAKE

    def url(self, port: int) -> str:
        """Give the address of the database, as a result store has it."""
        return f"db+mysql://umbel:secret@127.0.0.1:{port}/umbel"


def empty(url: str) -> None:
    """Drop everything in the database at *url*."""
    import pymysql

    address = urlsplit(url)
    connection = pymysql.connect(
        host=address.hostname, port=address.port or 0, user=address.username, password=address.password or "",
        connect_timeout=EMPTY_SECONDS, read_timeout=EMPTY_SECONDS,
    )  # fmt: skip
    with connection, connection.cursor() as cursor:
        name = address.path.strip("/")
        cursor.execute(f"drop database if exists {name}")
        cursor.execute(f"create database {name}")


def install() -> str:
    """Give the path of the server's program, installed if it was missing. Raises `FileNotFoundError`."""
    return program(PROGRAMS, PACKAGE)
