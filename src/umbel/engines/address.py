"""URLs of engines: their parts, their masked form, and the factory for their scheme."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Final

from umbel.exceptions import ImproperlyConfigured
from umbel.options import nearest
from umbel.settings.masking import masked
from umbel.settings.transport import with_options

if TYPE_CHECKING:
    from umbel.settings import Settings

__all__ = ["broker_address", "factory", "masked", "results_address"]

_EXTRAS: Final = {
    "rediss": "redis",
    "sentinel": "redis",
    "postgresql": "postgres",
    "amqp": "rabbitmq",
    "amqps": "rabbitmq",
    "db": "sql",
    "file": "s3",
    "gs": "s3",
    "gcs": "s3",
    "az": "s3",
    "azure": "s3",
}
"""The extra of ``pip install`` that brings an engine's driver, where it is not called like the engine."""


def broker_address(url: str, settings: Settings) -> str:
    """*url* of the broker with the options that *settings* have for it. Raises `ImproperlyConfigured`."""
    return with_options(url, settings.broker_transport_options, "broker_transport_options")


def results_address(url: str, settings: Settings) -> str:
    """The same for the result store; at the broker's own URL, the broker's options hold unless it has others."""
    options = settings.result_backend_transport_options
    if not options and url == settings.broker_url:
        return broker_address(url, settings)
    return with_options(url, options, "result_backend_transport_options")


def factory(url: str, built_in: dict[str, str], group: str, noun: str) -> object:
    """The factory for the scheme of *url*: a built-in one, or one of entry point *group*.

    *built_in* maps schemes to ``module:name``; modules are imported only here, when asked for.
    Raises `ImproperlyConfigured`, naming the known schemes or the extra that is missing.
    """
    scheme, colon, _ = url.partition(":")
    if colon and scheme in built_in:
        module, _, name = built_in[scheme].partition(":")
        try:
            return getattr(import_module(module), name)
        except ModuleNotFoundError as error:
            if error.name is None or error.name.startswith("umbel"):
                raise
            family = scheme.partition("+")[0]
            extra = _EXTRAS.get(family, family)
            raise ImproperlyConfigured(
                f"{noun} {masked(url)} needs the package {error.name!r}: pip install 'umbel[{extra}]'"
            ) from None  # where it was imported is of no use to anybody
    from importlib.metadata import entry_points  # 25 ms, which no built-in engine needs

    for entry in entry_points(group=group, name=scheme):
        return entry.load()
    raise ImproperlyConfigured(
        f"no {noun} knows the URL scheme {scheme!r} of {masked(url)!r}{nearest(scheme, built_in) or ':'} "
        f"use one of {', '.join(sorted(built_in))}"
    )
