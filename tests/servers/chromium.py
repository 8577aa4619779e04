"""Debian's Chromium, which looks at the dashboard."""

from tests.servers.packages import program


def install() -> str:
    """Give the path of the browser; its package is installed where it is missing. Raises `FileNotFoundError`.

    The shell without windows draws the same, for a seventh of what the whole browser takes.
    """
    return program(("chromium-headless-shell", "chromium"), "chromium-headless-shell")
