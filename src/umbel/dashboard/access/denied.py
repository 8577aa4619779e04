"""Denied: what ends a request before any page or action is reached."""

from __future__ import annotations


class Denied(Exception):
    """The request goes no further: *status* and why. *who* asked, if that is known. *headers* are for the browser."""

    def __init__(self, status: int, text: str, who: str = "", headers: dict[str, str] | None = None) -> None:
        super().__init__(text)
        self.status = status
        self.who = who
        self.headers = headers or {}
