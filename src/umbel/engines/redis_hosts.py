"""The hosts of a URL that names several."""

from __future__ import annotations

import re
from typing import Final, TypeAlias

Host: TypeAlias = tuple[str, int]

DEFAULT_PORT: Final = 6379
SENTINEL_PORT: Final = 26379
_HOST: Final = re.compile(r"(\[[^\]]+\]|[^:\[\]]*)(?::(\d*))?")
_CELERY: Final = "sentinel://"
_ITS_FORM: Final = re.compile(r"([^@/?]*@)?([^/?]*)(/[^?]*)?(\?.*)?")


def hosts_in(netloc: str, port: int) -> tuple[Host, ...]:
    """The hosts in ``[user:password@]host:port,host:port``; *port* where none is written. Raises `ValueError`."""
    return tuple(_host(text, port) for text in netloc.rpartition("@")[2].split(","))


def joined(url: str) -> str:
    """*url*, its hosts behind one scheme: Celery writes ``sentinel://h1:26379;sentinel://h2:26379/0?…``."""
    if not url.startswith(_CELERY):
        return url
    login = tail = query = ""
    hosts: list[str] = []
    for each in url.split(";"):
        found = _ITS_FORM.fullmatch(each.removeprefix(_CELERY))
        if found is None:
            raise ValueError(f"{_CELERY} is followed by no host")
        login = login or found.group(1) or ""
        hosts.append(found.group(2))
        tail = found.group(3) or tail
        query = found.group(4) or query
    if "master_name=" not in query:
        raise ValueError(f"which service? Add ?master_name=… to {_CELERY}")
    return f"redis+sentinel://{login}{','.join(hosts)}{tail}{query}"


def _host(text: str, port: int) -> Host:
    found = _HOST.fullmatch(text)
    if found is None:
        raise ValueError("a host is written host:port, an IPv6 address in brackets")
    written = int(found.group(2) or port)
    if not 0 < written < 65536:  # noqa: PLR2004 - the ports that there are
        raise ValueError("a port is a number below 65536")
    return found.group(1).strip("[]") or "localhost", written
