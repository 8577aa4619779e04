"""Sentinel: where the primary of a service is. Asked before every new connection, as a failover closes all old ones."""

from __future__ import annotations

from typing import Any, Final

from hiredis import ReplyError

from umbel.engines.operation import Operation, adrive, drive
from umbel.engines.redis_address import Address, Watch
from umbel.engines.redis_connection import Connection, pack
from umbel.engines.redis_hosts import Host
from umbel.engines.redis_reply import refusal
from umbel.engines.redis_stream import connect
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
        self._question = pack(("SENTINEL", "GET-MASTER-ADDR-BY-NAME", watch.service))

    def primary(self, seconds: float) -> Address:
        """The address of the primary. Raises `OSError` if no Sentinel can be reached, or `BrokerError`."""
        return drive(self._looking(), lambda host: self._ask(host, min(_ASK_SECONDS, seconds)))

    async def aprimary(self, seconds: float) -> Address:
        """The async twin of `primary`."""
        return await adrive(self._looking(), lambda host: self._aask(host, min(_ASK_SECONDS, seconds)))

    def _looking(self) -> Operation[Host, Address]:
        failure: OSError | None = None
        for host in tuple(self._order):
            try:
                reply = yield host
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

    def _ask(self, host: Host, seconds: float) -> Any:
        connection = Connection(self._address.sentinel(host, *self._login), seconds)
        try:
            return connection.exchange([self._question], 1)[0]
        finally:
            connection.close()

    async def _aask(self, host: Host, seconds: float) -> Any:
        stream = await connect(self._address.sentinel(host, *self._login), seconds)
        try:
            return (await stream.exchange([self._question], 1, seconds))[0]
        finally:
            stream.close()
