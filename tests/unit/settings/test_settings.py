"""Settings: checked when they are assigned, and never printed with a secret in them."""

from datetime import timedelta
from typing import Any

import msgspec
import pytest

from umbel import Settings
from umbel.exceptions import ImproperlyConfigured
from umbel.options import AppOptions
from umbel.settings.foreign import PREFIXES, reason

URL = "redis://user:pa55@host:6379/0?ssl_password=key55"


def test_a_setting_is_an_attribute_and_an_item() -> None:
    settings = Settings()
    settings.worker_concurrency = 4
    settings["result_expires"] = timedelta(hours=1)
    settings.update({"task_default_queue": "q"}, worker_lease=20)
    assert (settings.worker_concurrency, settings["worker_concurrency"], settings.get("worker_concurrency")) == (
        4,
        4,
        4,
    )
    assert (settings.result_expires, settings.task_default_queue, settings.worker_lease) == (3600.0, "q", 20.0)
    assert "worker_lease" in settings
    assert settings.get("nothing", 7) == 7
    assert dict(settings)["worker_lease"] == 20.0
    assert len(settings) == len(list(settings)) == len(settings.keys())
    with pytest.raises(KeyError):
        settings["nothing"]


@pytest.mark.parametrize(
    ("name", "value", "words"),
    [
        (
            "worker_concurency",
            4,
            r"worker_concurency \(app\.conf\) is not a setting: did you mean 'worker_concurrency'",
        ),
        ("UMBEL_BROKER_URL", "x", "did you mean 'broker_url'"),
        ("CELERYD_CONCURRENCY", 4, "is not a setting"),
        ("CELERY_RESULT_BACKEND", "x", "did you mean 'result_backend'"),
        ("nonsense", 4, r"nonsense \(app\.conf\) is not a setting$"),
        ("task_compression", "gzip", r"task_compression \(app\.conf\) is not supported yet"),
        ("task_acks_late", False, r"task_acks_late \(app\.conf\) is False, which is not supported: a job leaves"),
        ("accept_content", ["json", "pickle"], "is not supported: messages and results are MessagePack"),
        ("worker_prefetch_multiplier", 0, "is 0, which is not supported"),
        ("task_time_limit", 0, "task_time_limit"),
        ("broker_host", "x", "is not supported: use broker_url"),
        ("worker_concurrency", "four", r"worker_concurrency is 'four' \(app\.conf\): expected int"),
        ("worker_concurrency", 0, "expected int >= 1"),
        ("worker_lease", 0, "expected float > 0"),
        ("worker_lease", "15", "expected float"),
        ("task_default_priority", 10, "expected int <= 9"),
        ("task_default_queue", "a b", "give 1-128 letters"),
        ("task_ignore_result", 1, "expected bool"),
        ("imports", [1], "expected str"),
        ("broker_url", None, "expected str"),
    ],
)
def test_a_wrong_setting_is_refused_with_its_source(name: str, value: Any, words: str) -> None:
    settings = Settings()
    with pytest.raises(ImproperlyConfigured, match=words):
        settings[name] = value
    with pytest.raises(ImproperlyConfigured, match=words):
        setattr(settings, name, value)
    assert settings.table() == Settings().table()


def test_an_update_is_all_or_none() -> None:
    settings = Settings()
    with pytest.raises(ImproperlyConfigured):
        settings.update(worker_lease=20, worker_concurrency="four")
    assert settings.worker_lease == 15.0


def test_what_only_tunes_celery_is_accepted_and_listed() -> None:
    settings = Settings()
    settings.update(worker_lost_wait=5, beat_sync_every=1)
    assert settings.moot == ("worker_lost_wait", "beat_sync_every")
    assert "worker_lost_wait" not in settings


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("task_acks_late", True), ("task_acks_late", "true"), ("accept_content", ["json"]), ("task_serializer", "json"),
        ("worker_prefetch_multiplier", 1), ("worker_prefetch_multiplier", "4"), ("broker_connection_max_retries", None),
        ("worker_hijack_root_logger", False), ("broker_connection_retry_on_startup", True),
    ],
)  # fmt: skip
def test_a_setting_of_celerys_that_asks_for_what_is_done_anyway_is_accepted(name: str, value: object) -> None:
    settings = Settings()
    settings[name] = value
    assert settings.moot == (name,)


def test_all_that_is_wrong_is_told_at_once() -> None:
    with pytest.raises(ImproperlyConfigured) as caught:
        Settings().update(task_routes=5, worker_lease=20, worker_concurrency="four", nonsense=1)
    text = str(caught.value)
    assert text.startswith("3 settings are wrong:\n")
    assert all(name in text for name in ("task_routes", "worker_concurrency", "nonsense"))


def test_secrets_are_masked_wherever_settings_are_printed() -> None:
    settings = Settings()
    settings.broker_url = URL
    for text in (repr(settings), str(settings), f"{settings}", str(settings.table())):
        assert "pa55" not in text
        assert "key55" not in text
        assert "redis://user:***@host" in text
    with pytest.raises(ImproperlyConfigured) as caught:
        settings["worker_pool"] = [URL]
    assert "pa55" not in str(caught.value)
    assert settings.broker_url == URL


def test_a_value_knows_where_it_comes_from() -> None:
    settings = Settings()
    settings.worker_lease = 20
    settings.assign({"worker_threads": "2"}, "UMBEL_WORKER_THREADS", pinned=True, text=True)
    assert [settings.origin(name) for name in ("worker_lease", "worker_threads", "worker_pool")] == [
        "app.conf", "UMBEL_WORKER_THREADS", "default",
    ]  # fmt: skip


def test_what_is_pinned_outlives_assignments_of_the_program() -> None:
    settings = Settings()
    settings.assign({"worker_threads": 2}, "the command line", pinned=True)
    settings.worker_threads = 5
    assert settings.worker_threads == 2
    settings.assign({"worker_threads": 7}, "the command line", pinned=True)
    assert settings.worker_threads == 7


def test_settings_travel_between_processes_of_a_worker() -> None:
    settings = Settings()
    settings.update(worker_threads=3, broker_url=URL)
    back = msgspec.msgpack.decode(msgspec.msgpack.encode(settings), type=Settings)
    assert (back.worker_threads, back.broker_url) == (3, URL)
    assert back.moot == ()
    assert "pa55" not in repr(back)


def test_the_constructor_of_the_app_knows_every_setting() -> None:
    given_apart = {"broker_url", "result_backend"}  # broker= and backend=
    assert set(Settings.__struct_fields__) - given_apart <= set(AppOptions.__annotations__)


def test_every_setting_begins_like_a_setting() -> None:
    assert [
        name
        for name in Settings.__struct_fields__
        if not name.startswith((*PREFIXES, "imports", "include", "timezone", "database_table_"))
    ] == []


def test_no_setting_is_foreign_too() -> None:
    assert [name for name in Settings.__struct_fields__ if reason(name, None, ()) is None] == []
    assert [name for name in Settings.__struct_fields__ if reason(name, None, ()) == "is not supported yet"] == []


def test_settings_are_read_as_a_mapping_and_shown_without_secrets() -> None:
    settings = Settings()
    settings.assign({"broker_url": "redis://:pa55w0rd@host/0"}, "here")
    assert dict(settings.items()) == dict(zip(settings, settings.values(), strict=True)) == dict(settings)
    assert settings.humanize() == "broker_url: 'redis://:***@host/0'"
    assert "pa55w0rd" in settings.humanize(censored=False)
    assert len(settings.humanize(with_defaults=True).splitlines()) == len(settings)
