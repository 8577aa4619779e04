"""Settings of the dashboard: who may come to it, and what each of them may do."""

from __future__ import annotations

import re
from collections.abc import Mapping
from ipaddress import ip_network
from typing import Any, Final, Literal, TypeAlias

import msgspec

from umbel.exceptions import ImproperlyConfigured

Role: TypeAlias = Literal["viewer", "operator", "admin"]

USERS: Final = "dashboard_users"
UNIX: Final = "unix"
"""Among proxies: whoever may connect to the Unix socket."""
SCRYPT: Final = re.compile(r"scrypt:(?P<cost>1[4-7]):8:(?P<lanes>[1-4]):(?P<salt>[\w-]{22}):(?P<hash>[\w-]{43})")
"""How a password is kept: the costs of scrypt, a salt and the hash. No ``$``, which many files would replace."""
DIGEST: Final = re.compile(r"sha256:(?P<hash>[0-9a-f]{64})")
"""How a token is kept."""
_HOST: Final = re.compile(r"\.?[a-z0-9_]([a-z0-9_.-]*[a-z0-9_])?|\[?[0-9a-f:.]+\]?")
_PREFIX: Final = re.compile(r"(/[A-Za-z0-9._~-]+)*")
_TRACE_URL: Final = re.compile(r"(https?://[^\s\"'<>{}]+\{trace_id\}[^\s\"'<>{}]*)?")
_HEADER: Final = re.compile(r"[A-Za-z0-9-]*")
_ANY: Final = (None, "")
_FORMS: Final[Mapping[str, tuple[re.Pattern[str], str]]] = {
    "dashboard_prefix": (_PREFIX, "give a path such as /umbel, without a slash at its end"),
    "dashboard_trace_url": (_TRACE_URL, "give an address with {trace_id} in it, by http or https"),
    "dashboard_user_header": (_HEADER, "give the name of a header such as X-Remote-User"),
}
"""What these texts look like, and what to do where they do not."""
_SECRET_LENGTH: Final = 16
_CURE: Final = 'make one with "umbel dashboard --hash-password"'


class Account(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What is known of one user: *role*, and how *password* and *token* are kept; empty: he has none."""

    role: Role = "viewer"
    password: str = ""
    token: str = ""


def accounts_of(given: Mapping[str, Any]) -> dict[str, Account]:
    """The users in *given* by their names. Raises `ImproperlyConfigured`, which shows no secret."""
    try:
        found = msgspec.convert(given, dict[str, Account])
    except msgspec.ValidationError as error:
        raise ImproperlyConfigured(f"{str(error).replace('`', '')}: give role, password and token") from None
    for name, account in found.items():
        if not name.strip() or not name.isprintable():
            raise ImproperlyConfigured("a user has no name that can be printed")
        if account.password and SCRYPT.fullmatch(account.password) is None:
            raise ImproperlyConfigured(f"the password of {name} is not kept as a hash: {_CURE}")
        if account.token and DIGEST.fullmatch(account.token) is None:
            raise ImproperlyConfigured(
                f"the token of {name} is not kept as a hash: {_CURE.replace('password', 'token')}"
            )
    return found


def check_dashboard(name: str, value: Any, origin: str) -> None:
    """Raise `ImproperlyConfigured` for a *value* of the setting *name*, from *origin*, that is wrong in itself."""
    where = f"{name} ({origin})"
    if name == USERS:
        try:
            accounts_of(value)
        except ImproperlyConfigured as error:
            raise ImproperlyConfigured(f"{where}: {error}") from None
    if name == "dashboard_allowed_hosts" and (wrong := [each for each in value if not _HOST.fullmatch(each)]):
        raise ImproperlyConfigured(f"{where}: {wrong[0]!r} is no name of a host: give it in lower case, without a port")
    if name == "dashboard_trusted_proxies" and (wrong := [each for each in value if not _is_peer(each)]):
        raise ImproperlyConfigured(f"{where}: {wrong[0]!r} is no address, no network such as 10.0.0.0/8, and not unix")
    form, cure = _FORMS.get(name, _ANY)
    if form is not None and form.fullmatch(value) is None:
        raise ImproperlyConfigured(f"{where} is {value!r}: {cure}")
    if name == "dashboard_session_secret" and 0 < len(value) < _SECRET_LENGTH:
        raise ImproperlyConfigured(f"{where} is too short: give {_SECRET_LENGTH} characters or more")


def _is_peer(text: str) -> bool:
    if text == UNIX:
        return True
    try:
        ip_network(text)
    except ValueError:
        return False
    return True
