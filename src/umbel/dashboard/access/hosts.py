"""Hosts: the names under which a dashboard may be asked.

A page of another site can have its own name lead to 127.0.0.1, and then read what is served there as its own (DNS
rebinding). What the browser sends as Host is still that name, and refused here. An address cannot be had in that way.
"""

from __future__ import annotations

from collections.abc import Sequence
from ipaddress import ip_address
from typing import Final

LOCAL: Final = ("localhost", ".localhost")


def is_local(host: str) -> bool:
    """Whether *host*, a name or an address, means this machine to everybody."""
    if host == LOCAL[0] or host.endswith(LOCAL[1]):
        return True
    try:
        return ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False


class Hosts:
    """Those in *allowed*; one that begins with a dot allows all names below it."""

    def __init__(self, allowed: Sequence[str]) -> None:
        self._allowed = (*LOCAL, *allowed)

    def allows(self, header: str) -> bool:
        """Whether a request may say that in its header Host."""
        host = host_of(header)
        if not host:
            return False
        try:
            ip_address(host)
        except ValueError:
            return any(host == each or (each[0] == "." and host.endswith(each)) for each in self._allowed)
        return True


def host_of(header: str) -> str:
    """The name or address in *header*, without its port."""
    if header.startswith("["):
        host, closing, port = header[1:].partition("]")
        return host.lower() if closing and _is_port(port) else ""
    host, colon, port = header.partition(":")
    return host.lower().removesuffix(".") if _is_port(colon + port) else ""


def _is_port(text: str) -> bool:
    return text == "" or (text[0] == ":" and text[1:].isdecimal() and text.isascii())
