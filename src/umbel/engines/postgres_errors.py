"""What PostgreSQL's errors mean: try again, mend the tables, make room, or give up."""

from __future__ import annotations

from typing import Final

import psycopg

from umbel.engines.unfit import Denied
from umbel.exceptions import BrokerError, BrokerFull

_AGAIN: Final = frozenset({"40001", "40P01", "0A000"})
"""A deadlock or a plan that is out of date: the transaction was rolled back, and the next try meets neither."""
_UNREADY: Final = frozenset({"57P01", "57P02", "57P03", "57P05", "53300", "25006", "26000", "42P05", "25P03", "55P03"})
"""It stops, starts, follows another server, has too many clients, is a pooler that lost our statements, or has tables
in use that are to be changed."""
_MISSING: Final = frozenset({"42P01", "3F000"})
_FULL: Final = frozenset({"53100", "53200", "53000"})
_REFUSED: Final = (
    "password authentication failed",
    "no password supplied",
    "no pg_hba.conf entry",
    "does not exist",
    "is not permitted to log in",
    "no such user",
    "no such database",
    "authentication failed",
    "server does not support SSL",
    "certificate verify failed",
)


def again(error: psycopg.Error) -> bool:
    """The statement was not carried out and may be sent at once on the same connection."""
    return error.sqlstate in _AGAIN


def missing(error: psycopg.Error) -> bool:
    """The tables are not there: somebody dropped them."""
    return error.sqlstate in _MISSING


def lost(error: psycopg.Error) -> bool:
    """The connection is of no use; another one may be."""
    state = error.sqlstate
    if state is None:
        return isinstance(error, psycopg.OperationalError | psycopg.InterfaceError) and not _is_refusal(error)
    return state in _UNREADY or state.startswith("08")


def plainly(error: Exception) -> str:
    """The error's words in one line."""
    return " ".join(str(error).split())


def refusal(error: psycopg.Error, server: str) -> BrokerError:
    """The error to raise when trying again will not help."""
    kind = BrokerFull if error.sqlstate in _FULL else Denied if error.sqlstate is None else BrokerError
    cure = ": correct the URL or the rights of its user" if kind is Denied else ""
    made = kind(f"{server} refused: {plainly(error)}{cure}")
    made.__cause__ = error
    return made


def _is_refusal(error: psycopg.Error) -> bool:
    # A refused login carries no code, only the server's words.
    text = str(error)
    return any(phrase in text for phrase in _REFUSED)
