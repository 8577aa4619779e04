"""The apps of a Django project: where `autodiscover_tasks` looks when it is told no packages."""

from __future__ import annotations

import os
from importlib import import_module
from typing import Any

from umbel.exceptions import ImproperlyConfigured

_VARIABLE = "DJANGO_SETTINGS_MODULE"


def check_project() -> None:
    """Raise `ImproperlyConfigured` where no Django project is named."""
    if not os.environ.get(_VARIABLE):
        raise ImproperlyConfigured(
            "autodiscover_tasks() looks into the apps of a Django project when it is told no packages, and "
            f'{_VARIABLE} is not set: name the packages, as in app.autodiscover_tasks(["shop"])'
        )


def installed_apps() -> list[str]:
    """The packages of the apps that the project has installed; sets Django up if nobody has."""
    apps: Any = import_module("django.apps").apps
    if not apps.ready:
        import_module("django").setup()
    return [each.name for each in apps.get_app_configs()]
