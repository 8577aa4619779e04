"""The specification of result stores on objects: a real HTTP server, real files, a clock that is moved."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.patient import PATIENT
from umbel.stores.objects import connect
from umbel.stores.threaded import ThreadedStore
from umbel.testing import ResultStoreConformance


class InOnePlace(ResultStoreConformance):
    """An empty place for each test."""

    url: str

    def make(self, clock: Callable[[], float]) -> ThreadedStore:
        return connect(self.url, PATIENT, clock)


class TestFiles(InOnePlace):
    @pytest.fixture(autouse=True)
    def _folder(self, tmp_path: Path) -> None:
        self.url = f"file://{tmp_path}/results"


class TestS3(InOnePlace):
    @pytest.fixture(autouse=True)
    def _server(self, objects_url: str) -> None:
        self.url = objects_url
