"""Peers: where a request comes from, by the word of the proxies that are believed and of nobody else."""

from __future__ import annotations

from collections.abc import Sequence
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from typing import Final, TypeAlias

import msgspec
from starlette.datastructures import Headers
from starlette.types import Scope

from umbel.settings.dashboard import UNIX

Network: TypeAlias = IPv4Network | IPv6Network

FORWARDED: Final = ("x-forwarded-for", "forwarded", "x-real-ip")
MAX_HOPS: Final = 20


class Origin(msgspec.Struct, frozen=True):
    """The *address* of whoever asks; whether a *trusted* proxy says so, whether he came over TLS (*secure*).

    *local*: he is on this machine, and nothing says that he asks for somebody else.
    """

    address: str
    trusted: bool
    secure: bool
    local: bool


class Peers:
    """Tells where requests come from; *trusted* are the proxies that are believed."""

    def __init__(self, trusted: Sequence[str]) -> None:
        self._unix = UNIX in trusted
        self._networks = [ip_network(each) for each in trusted if each != UNIX]

    def origin(self, scope: Scope) -> Origin:
        """Where the request *scope* comes from."""
        headers, client = Headers(scope=scope), scope.get("client")
        peer = client[0] if client else ""
        trusted, secure = self._trusts(peer or UNIX), scope.get("scheme") == "https"
        if not trusted:
            local = (not peer or _is_loopback(peer)) and not any(name in headers for name in FORWARDED)
            return Origin(peer or UNIX, trusted=False, secure=secure, local=local)
        secure = headers.get("x-forwarded-proto", "https" if secure else "http").strip().lower() == "https"
        return Origin(self._first(headers, peer or UNIX), trusted=True, secure=secure, local=False)

    def _first(self, headers: Headers, peer: str) -> str:
        """The last address that no trusted proxy has: what stands before it may be invented."""
        hops = [each.strip() for each in ",".join(headers.getlist("x-forwarded-for")).split(",") if each.strip()]
        for hop in reversed(hops[-MAX_HOPS:]):
            if _address(hop) is None:
                break
            peer = hop
            if not self._trusts(hop):
                break
        return peer

    def _trusts(self, peer: str) -> bool:
        if peer == UNIX:
            return self._unix
        address = _address(peer)
        return address is not None and any(address in network for network in self._networks)


def _address(text: str) -> IPv4Address | IPv6Address | None:
    try:
        found = ip_address(text)
    except ValueError:
        return None
    return found.ipv4_mapped or found if isinstance(found, IPv6Address) else found


def _is_loopback(peer: str) -> bool:
    address = _address(peer)
    return address is not None and address.is_loopback
