"""What is said of a job that an engine cannot tell from one that was never sent."""

from __future__ import annotations

import pytest

from umbel import Umbel
from umbel.app.revoking import Stopped
from umbel.cli.revoke import tell


class Silent:
    """A broker that knows of no job, and cannot say that there is none."""

    def close(self) -> None: ...

    async def aclose(self) -> None: ...


def test_a_job_of_which_nothing_is_known_is_not_called_ready() -> None:
    app = Umbel("silent", broker=Silent(), backend="memory://silent", set_as_current=False)  # type: ignore[arg-type]
    assert "nothing is known of it" in app.AsyncResult("nope").whereabouts


def test_of_one_that_is_known_its_place_is_told() -> None:
    app = Umbel("known", broker="memory://known", set_as_current=False)
    assert app.AsyncResult("nope").whereabouts == "the job is unknown"


def test_a_revoked_job_of_which_nothing_is_known_is_named(capsys: pytest.CaptureFixture[str]) -> None:
    found = [Stopped("nope", "unknown", marked=True), Stopped("job", "ready", "default", marked=True)]
    tell(found, terminate=False)
    first, second = capsys.readouterr().out.splitlines()
    assert first == "nothing is known of nope: if it waits in a queue, it is revoked when a worker receives it"
    assert second == "1 marked: revoked when a worker comes to it"
