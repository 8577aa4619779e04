"""The fixtures of `umbel.testing.plugin` under Celery's names, for ``pytest_plugins = ["umbel.testing.celery_names"]``.

Asked for by name and not always there: where Celery's own plugin is installed, too, its tests must keep its fixtures.
"""

from __future__ import annotations

from typing import Any

import pytest


@pytest.fixture
def celery_app(umbel_app: Any) -> Any:
    """The same as `umbel_app`."""
    return umbel_app


@pytest.fixture
def celery_worker(umbel_worker: Any) -> Any:
    """The same as `umbel_worker`."""
    return umbel_worker


@pytest.fixture(scope="session")
def celery_session_app(umbel_session_app: Any) -> Any:
    """The same as `umbel_session_app`."""
    return umbel_session_app


@pytest.fixture(scope="session")
def celery_session_worker(umbel_session_worker: Any) -> Any:
    """The same as `umbel_session_worker`."""
    return umbel_session_worker
