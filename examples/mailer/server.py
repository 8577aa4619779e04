"""A real SMTP server on loopback that greylists: it refuses the first try of some recipients and keeps what it took."""

from __future__ import annotations

import asyncio
from collections import Counter
from email import message_from_bytes
from email.message import Message
from types import TracebackType
from typing import Final, Self

from aiosmtpd.smtp import SMTP, Envelope, Session

GREYLISTED: Final = "451 4.7.1 Greylisted, please try again later"


class Mailbox:
    """An SMTP server for one event loop; *greylisted* recipients are refused once, with a 451."""

    def __init__(self, greylisted: frozenset[str]) -> None:
        """Listen nowhere yet."""
        self.tries: Counter[str] = Counter()
        self.received: list[tuple[str, Message]] = []
        self._greylisted = greylisted
        self._server: asyncio.Server | None = None

    async def __aenter__(self) -> Self:
        """Listen on a free port of 127.0.0.1."""
        loop = asyncio.get_running_loop()
        self._server = await loop.create_server(lambda: SMTP(self, loop=loop), "127.0.0.1", 0)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Stop listening."""
        if self._server is not None:
            self._server.close()
            await self._server.wait_closed()

    @property
    def address(self) -> str:
        """Host and port, as the variable MAILER_SMTP wants them."""
        if self._server is None:
            raise RuntimeError("the server is not listening")
        host, port = self._server.sockets[0].getsockname()
        return f"{host}:{port}"

    async def handle_RCPT(  # noqa: N802 - aiosmtpd's name and arguments
        self, _: SMTP, __: Session, envelope: Envelope, address: str, options: list[str]
    ) -> str:
        """Take the recipient, or ask for another try."""
        self.tries[address] += 1
        if address in self._greylisted and self.tries[address] == 1:
            return GREYLISTED
        envelope.rcpt_tos.append(address)
        envelope.rcpt_options.extend(options)
        return "250 OK"

    async def handle_DATA(self, _: SMTP, __: Session, envelope: Envelope) -> str:  # noqa: N802 - aiosmtpd's
        """Keep the mail."""
        content = envelope.content
        message = message_from_bytes(content if isinstance(content, bytes) else (content or "").encode())
        self.received.extend((recipient, message) for recipient in envelope.rcpt_tos)
        return "250 Message accepted for delivery"
