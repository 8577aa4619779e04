"""What the asking commands open: the app, or just its broker. `umbel worker` does not: it imports no user code."""

from __future__ import annotations

import traceback
from pathlib import Path
from typing import TYPE_CHECKING

import click

from umbel.brokers import connect
from umbel.cli.app_name import app_name
from umbel.cli.command import Frame
from umbel.contracts.broker import Broker
from umbel.contracts.capabilities import Power, demand
from umbel.contracts.powers import Inspector
from umbel.exceptions import ImproperlyConfigured
from umbel.settings import Settings
from umbel.settings.masking import masked
from umbel.settings.sources import current_environment, read_environment, read_file

if TYPE_CHECKING:
    from umbel.app.app import Umbel


def open_app(frame: Frame) -> Umbel:
    """Import the app. Raises `ImproperlyConfigured`; the import's own error is shown first, because it is the cause."""
    from umbel.app.loading import load_app

    try:
        return load_app(app_name(frame.app))
    except ImproperlyConfigured as error:
        if error.__cause__ is not None:
            click.echo("".join(traceback.format_exception(error.__cause__)), err=True, nl=False)
        raise


def open_inspector(frame: Frame) -> tuple[Broker, Inspector, str]:
    """The broker twice, as what it is and as what can be asked, and its URL without secrets.

    With `-b` the app is not needed. Raises `ImproperlyConfigured`.
    """
    settings = read_settings(frame)
    url = masked(settings.broker_url)
    broker = connect(settings.broker_url, settings)
    demand(broker, Power.PROCESSES, "asking it from another process", url)
    if not isinstance(broker, Inspector):
        raise ImproperlyConfigured(f"the broker {url} cannot tell what it holds: use its own tools")
    return broker, broker, url


def read_settings(frame: Frame) -> Settings:
    """The settings of the app, or with `-b` those of file and environment. Raises `ImproperlyConfigured`."""
    if not frame.broker:
        return open_app(frame).conf
    settings = Settings()
    read_file(settings, Path())
    read_environment(settings, current_environment())  # which has the URL of `-b` by now
    return settings
