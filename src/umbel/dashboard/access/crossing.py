"""Crossing: what pages of other sites may not have a browser send here."""

from __future__ import annotations

from typing import Final
from urllib.parse import urlsplit

from starlette.datastructures import Headers

OURS: Final = "umbel-request"
"""A header that a page of another site cannot send without the browser asking us first, which we refuse."""
_PORTS: Final = {"http": ":80", "https": ":443"}


def wrong_to_change(headers: Headers, *, ambient: bool) -> str:
    """Why a request that would change something is refused; empty: it is not.

    *ambient*: the browser adds by itself what says who asks, whichever page sends the request.
    """
    if headers.get(OURS) != "1":
        return "Requests that change something carry the header Umbel-Request: 1."
    return wrong_origin(headers, ambient=ambient)


def wrong_origin(headers: Headers, *, ambient: bool) -> str:
    """Why a request that a form of ours sends is refused; empty: it is not."""
    site, origin = headers.get("sec-fetch-site"), headers.get("origin")
    if site is not None:
        return "" if site == "same-origin" else "The request comes from a page of another site."
    if origin is not None:
        return "" if _is_ours(origin, headers.get("host", "")) else f"The origin {origin} is not this dashboard."
    return "The request does not say from which page it comes: send Origin, or use a token." if ambient else ""


def wrong_to_read(headers: Headers) -> str:
    """Why a page is not shown to a request; empty: it is. Links of other sites lead here, their scripts do not."""
    foreign = headers.get("sec-fetch-site") in {"cross-site", "same-site"}
    return "A page of another site asks." if foreign and headers.get("sec-fetch-mode") != "navigate" else ""


def _is_ours(origin: str, host: str) -> bool:
    # By host and port: whether the browser speaks TLS to a proxy in front of us is not always told.
    found = urlsplit(origin)
    port = _PORTS.get(found.scheme)
    return port is not None and found.netloc != "" and host.lower() in {found.netloc.lower(), f"{found.netloc}{port}"}
