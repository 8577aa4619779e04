"""Send mail. A temporary refusal (SMTP 4xx, as in greylisting) is tried again later, a final one (5xx) fails."""

from __future__ import annotations

import os
import smtplib
from email.message import EmailMessage
from typing import Final

from umbel import Context, Umbel
from umbel.log import get_task_logger

SENDER: Final = os.environ.get("MAILER_SENDER", "robot@example.org")
HOST, _, PORT = os.environ.get("MAILER_SMTP", "localhost:25").partition(":")
BACKOFF_SECONDS: Final = float(os.environ.get("MAILER_BACKOFF", "60"))
TIMEOUT_SECONDS: Final = 20.0

app = Umbel("mailer")
logger = get_task_logger(__name__)


class TryAgainLater(Exception):
    """The server refuses the mail for now."""


class MailRefused(Exception):
    """The server will never take the mail."""


@app.task(
    bind=True,
    autoretry_for=(TryAgainLater, OSError),
    max_retries=8,
    retry_backoff=BACKOFF_SECONDS,
    retry_backoff_max=3600,
)
def send_mail(self: Context, recipient: str, subject: str, text: str) -> str:
    """Send one mail and return its Message-ID.

    The Message-ID is made of the job's id: should the worker die after the server took the mail and before the job was
    settled, the mail is sent again under the same Message-ID, and the receiver can tell that it is the same one.
    """
    message = EmailMessage()
    message["Message-ID"] = f"<{self.request.id}@mailer.example.org>"
    message["From"] = SENDER
    message["To"] = recipient
    message["Subject"] = subject
    message.set_content(text)
    logger.info("sending to %s", recipient)
    deliver(message, recipient)
    return str(message["Message-ID"])


def deliver(message: EmailMessage, recipient: str) -> None:
    """Hand *message* to the SMTP server. Raises `TryAgainLater`, `MailRefused` or `OSError`."""
    try:
        with smtplib.SMTP(HOST, int(PORT or 25), timeout=TIMEOUT_SECONDS) as server:
            server.send_message(message)
    except smtplib.SMTPRecipientsRefused as error:
        code, reason = error.recipients[recipient]
        raise refusal(code, reason) from error
    except smtplib.SMTPResponseException as error:
        raise refusal(error.smtp_code, error.smtp_error) from error


def refusal(code: int, reason: bytes | str) -> Exception:
    """The exception for SMTP's answer *code*: its first digit says whether trying again may help."""
    text = reason.decode(errors="replace") if isinstance(reason, bytes) else reason
    kind = TryAgainLater if code // 100 == 4 else MailRefused
    return kind(f"{code} {text}")
