"""Errors of TLS, told apart from those of a line that may recover."""

from __future__ import annotations

import contextlib
import ssl
from collections.abc import Generator

from umbel.exceptions import BrokerError


@contextlib.contextmanager
def trusting(server: object) -> Generator[None]:
    """Within it an error of TLS itself is a `BrokerError`: between the same two parties it would come again.

    *server* is shown, without its password.
    """
    try:
        yield
    except (ssl.SSLEOFError, ssl.SSLZeroReturnError):
        raise
    except ssl.SSLCertVerificationError as error:
        raise BrokerError(f"{server}: its certificate is not trusted: {error.verify_message}") from error
    except ssl.SSLError as error:
        raise BrokerError(f"{server}: no secure connection: {error.reason or error}") from error
