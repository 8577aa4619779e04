"""What is refused before anything is opened, and how."""

from __future__ import annotations

from pathlib import Path

import pytest

from umbel.exceptions import ImproperlyConfigured
from umbel.settings import Settings
from umbel.stores import connect


@pytest.mark.parametrize(
    ("url", "message"),
    [
        ("db+mysql://user:secret@host", "names no database"),
        ("db+postgresql://user:secret@host/", "names no database"),
        ("db+sqlite://", "name a file"),
        ("db+sqlite:///:memory:", "name a file"),
        ("db+sqlite:////no/such/folder/results.db", "there is no folder /no/such/folder"),
        ("db+mysql://user:secret@host:port/db", "is no URL of a database"),
        ("db+oracle://user:secret@host/db", "no result store knows the URL scheme"),
        ("db+mysql+mysqldb://user:secret@host/db", "needs a driver: pip install 'mysqlclient'"),
        ("s3:///prefix", "names no bucket"),
        ("s3://bucket?secret_access_key=secret&regon=1", "Configuration key: 'regon' is not valid"),
        ("gs:///prefix", "names no bucket"),
        ("gs://bucket?service_account_path=/no/such.json", "service account file from /no/such.json: No such file"),
        ("azure://container/prefix", "Account must be specified"),
        ("azure://container?account_name=a&account_key=secret&acount=1", "Configuration key: 'acount' is not valid"),
        ("file://folder", "names no folder"),
        ("file:///", "names no folder"),
    ],
)
def test_a_wrong_url_is_told_at_once_without_its_secrets(url: str, message: str) -> None:
    with pytest.raises(ImproperlyConfigured, match=message) as caught:
        connect(url, Settings())
    assert "secret@" not in str(caught.value)
    assert "=secret" not in str(caught.value)


def test_the_file_of_the_embedded_broker_is_refused(tmp_path: Path) -> None:
    settings = Settings()
    settings.broker_url = f"sqlite:///{tmp_path}/jobs.db"
    with pytest.raises(ImproperlyConfigured, match="belongs to the embedded engine"):
        connect(f"db+sqlite:///{tmp_path}/jobs.db", settings)
    (tmp_path / "link.db").symlink_to(tmp_path / "jobs.db")
    with pytest.raises(ImproperlyConfigured, match="belongs to the embedded engine"):
        connect(f"db+sqlite:///{tmp_path}/link.db", settings)


def test_the_file_of_another_embedded_broker_is_refused(tmp_path: Path) -> None:
    (tmp_path / "other.db.d").mkdir()
    with pytest.raises(ImproperlyConfigured, match="belongs to the embedded engine"):
        connect(f"db+sqlite:///{tmp_path}/other.db", Settings())
