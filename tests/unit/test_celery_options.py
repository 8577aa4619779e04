"""Options of Celery's that Umbel does not have: what asks for no more than is done anyway passes."""

from typing import Any

import pytest

from umbel import SyncTask, Task, Umbel


@pytest.fixture
def app() -> Umbel:
    return Umbel("options", broker="memory://celery-options", set_as_current=False)


def test_options_of_celerys_that_ask_for_what_is_done_anyway_are_accepted(app: Umbel) -> None:
    options: Any = {"acks_late": True, "reject_on_worker_lost": True, "serializer": "json", "base": Task}

    def mail() -> None: ...

    assert isinstance(app.task(**options)(mail), SyncTask)


def test_a_class_with_an_attribute_that_celery_would_heed_and_umbel_cannot_is_refused(app: Umbel) -> None:
    class Early(Task[..., Any]):
        acks_late = False

        def run(self) -> None: ...

    with pytest.raises(TypeError, match=r"Early: the option acks_late=False is not supported"):
        app.register_task(Early)
    with pytest.raises(TypeError, match="acks_late=False"):
        app.task(base=Early)(lambda: None)
