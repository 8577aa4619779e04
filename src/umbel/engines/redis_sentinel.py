"""Sentinel: where the primary of a service is. Asked before every new connection, as a failover closes all old ones."""

from __future__ import annotations

from typing import Final

from hiredis import ReplyError

from umbel.engines.operation import Operation, adrive, drive
from umbel.engines.redis_address import Address, Watch
from umbel.engines.redis_asking import aask, ask
from umbel.engines.redis_reply import refusal
from umbel.exceptions import BrokerError

_ASK_SECONDS: Final = 1.0
"""What one Sentinel may take: the next one is as good."""


class Sentinels:
    """The Sentinels of *address*; whoever answered last is asked first."""

    def __init__(self, address: Address, watch: Watch) -> None:
        self._address = address
        self._service = watch.service
        self._login = (watch.username, watch.password)
        self._order = list(watch.hosts)
        self._question = ("SENTINEL", "GET-MASTER-ADDR-BY-NAME", watch.service)

    def primary(self, seconds: float) -> Address:
        """The address of the primary. Raises `OSError` if no Sentinel can be reached, or `BrokerError`."""
        limit = min(_ASK_SECONDS, seconds)
        return drive(self._looking(), lambda sentinel: ask(sentinel, self._question, limit))

    async def aprimary(self, seconds: float) -> Address:
        """The async twin of `primary`."""
        limit = min(_ASK_SECONDS, seconds)
        return await adrive(self._looking(), lambda sentinel: aask(sentinel, self._question, limit))

    def _looking(self) -> Operation[Address, Address]:
        failure: OSError | None = None
        for host in tuple(self._order):
            try:
                reply = yield self._address.sentinel(host, *self._login)
            except OSError as error:
                failure = error
                continue
            if isinstance(reply, ReplyError):
                raise refusal(str(reply), str(self._address)) from reply
            if reply is not None:
                self._order.sort(key=lambda other: other != host)
                return self._address.at((reply[0].decode(), int(reply[1])))
        if failure is not None:
            raise ConnectionError(f"no Sentinel tells where the primary is: {failure}") from failure
        raise BrokerError(f"{self._address}: no Sentinel knows a service {self._service!r}")
