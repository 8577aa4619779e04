"""Debian's Chromium, which looks at the dashboard."""

from tests.servers.packages import program


def install() -> str:
    """Give the path of the browser; its package is installed where it is missing. Raises `FileNotFoundError`."""
    return program(("chromium",), "chromium")
