"""`python -m tests.servers install`: every server that the tests start, and the browser, is on this machine afterwards."""

import sys

from tests.servers import mariadb, postgres, prometheus, rabbitmq, redis

USAGE = "usage: python -m tests.servers install"


def main(arguments: list[str]) -> None:
    """Do as the command line says; end with a sentence if it says something else."""
    if arguments != ["install"]:
        sys.exit(USAGE)
    for server in (redis, mariadb, postgres, rabbitmq, prometheus):
        server.install()


if __name__ == "__main__":
    main(sys.argv[1:])
