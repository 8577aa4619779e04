"""`python -m tests.servers install`: what the tests start, servers and a browser, is on this machine then."""

import sys

from tests.servers import chromium, mariadb, postgres, prometheus, rabbitmq, redis

USAGE = "usage: python -m tests.servers install"


def main(arguments: list[str]) -> None:
    """Do as the command line says; end with a sentence if it says something else."""
    if arguments != ["install"]:
        sys.exit(USAGE)
    for each in (redis, mariadb, postgres, rabbitmq, prometheus, chromium):
        each.install()


if __name__ == "__main__":
    main(sys.argv[1:])
