"""What may be said of the tables of results."""

from __future__ import annotations

import pytest

from umbel.exceptions import ImproperlyConfigured
from umbel.settings import Settings
from umbel.stores import connect


def test_names_and_schemas_are_taken_as_celery_has_them() -> None:
    settings = Settings()
    settings.update(database_table_names={"task": "shop_results"}, database_table_schemas={"task": "celery"})
    assert settings.database_table_names["task"] == "shop_results"
    assert settings.moot == ()


def test_they_may_come_from_the_environment() -> None:
    settings = Settings()
    settings.assign({"database_table_names": '{"task": "shop"}'}, "UMBEL_DATABASE_TABLE_NAMES", text=True)
    assert settings.database_table_names == {"task": "shop"}
    with pytest.raises(ImproperlyConfigured, match=r"UMBEL_DATABASE_TABLE_NAMES.*no JSON object"):
        settings.assign({"database_table_names": "shop"}, "UMBEL_DATABASE_TABLE_NAMES", text=True)


def test_a_table_of_groups_is_told_to_tune_nothing() -> None:
    settings = Settings()
    settings.database_table_names = {"task": "shop", "group": "shop_groups"}
    assert settings.moot == ("database_table_names.group",)


@pytest.mark.parametrize(
    ("names", "cure"),
    [
        ({"tasks": "shop"}, "no kind of table: the table of results is 'task'"),
        ({"task": "celery.shop"}, "in front of the dot into database_table_schemas"),
        ({"task": ""}, "give 1-50 letters"),
        ({"task": "1shop"}, "the first no digit"),
        ({"task": "shop; drop table x"}, "give 1-50 letters"),
        ({"task": "x" * 51}, "give 1-50 letters"),
        ({"task": "umbel_claim_jobs"}, "belong to RabbitMQ's claims"),
        ({"task": 1}, "expected str"),
    ],
)
def test_a_name_that_no_table_can_have_is_refused_with_the_cure(names: dict[str, str], cure: str) -> None:
    with pytest.raises(ImproperlyConfigured, match=f"database_table_names.*app.conf.*{cure}"):
        Settings().database_table_names = names


@pytest.mark.parametrize("schema", ["a.b", "", "a b", "ä"])
def test_a_schema_that_cannot_be_is_refused_too(schema: str) -> None:
    with pytest.raises(ImproperlyConfigured, match="give 1-50 letters, digits and underscores"):
        Settings().database_table_schemas = {"task": schema}


@pytest.mark.parametrize("url", ["redis://127.0.0.1:1/0", "postgresql://127.0.0.1:1/x", "memory://"])
def test_where_results_are_in_no_such_table_the_settings_are_refused(url: str) -> None:
    settings = Settings()
    settings.database_table_names = {"task": "shop"}
    with pytest.raises(ImproperlyConfigured, match="are for results at db"):
        connect(url, settings)


def test_a_sqlite_file_has_no_schemas() -> None:
    settings = Settings()
    settings.database_table_schemas = {"task": "celery"}
    with pytest.raises(ImproperlyConfigured, match="database_table_schemas: a SQLite file has no schemas"):
        connect("db+sqlite:///results.db", settings)
