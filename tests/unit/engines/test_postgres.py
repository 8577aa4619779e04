"""The parts of the PostgreSQL engine that need no server: values, topics, addresses, errors."""

from __future__ import annotations

import struct
import uuid

import psycopg
import pytest
from hypothesis import given
from hypothesis import strategies as st

from umbel.engines import postgres_errors as errors
from umbel.engines.postgres_address import parse
from umbel.engines.postgres_topics import RESULTS, keys_in, number, result, ring, topic_of, work
from umbel.engines.postgres_values import Blobs, BlobsDumper, key, moment, name, plain, texts
from umbel.exceptions import BrokerError, BrokerFull, ImproperlyConfigured
from umbel.model.ids import new_id

# --- values


def test_an_id_of_our_own_is_its_own_key() -> None:
    job_id = new_id()
    assert (key(job_id), name(job_id)) == (job_id, "")


@given(st.text(st.characters(min_codepoint=33, max_codepoint=126), min_size=1, max_size=255))
def test_every_other_id_has_a_key_that_is_a_uuid_and_is_kept_beside_it(job_id: str) -> None:
    assert str(uuid.UUID(key(job_id))) == key(job_id)
    assert name(job_id) in ("", job_id)
    assert (name(job_id) == "") == (key(job_id) == job_id)


def test_a_uuid_in_another_spelling_is_another_id() -> None:
    job_id = "3f0e1d2c-4b5a-4678-8796-a5b4c3d2e1f0"
    assert len({key(each) for each in (job_id, job_id.upper(), job_id.replace("-", ""), f"{{{job_id}}}")}) == 4


@given(st.lists(st.text()))
def test_an_array_of_texts_is_read_back_as_it_was_written(values: list[str]) -> None:
    expected = [value.replace("\0", "?").encode(errors="replace").decode() for value in values]
    assert read(texts(values)) == expected


def read(array: str) -> list[str]:
    """The elements of a quoted array, by PostgreSQL's rules."""
    found: list[str] = []
    characters = iter(array[1:-1])
    for character in characters:
        if character == ",":
            continue
        assert character == '"'
        word = ""
        while (each := next(characters)) != '"':
            word += next(characters) if each == "\\" else each
        found.append(word)
    return found


def test_an_array_of_numbers_is_plain() -> None:
    assert plain([1, -2, 0.5]) == "{1,-2,0.5}"
    assert plain([]) == "{}"


@given(st.lists(st.binary()))
def test_bytes_travel_as_they_are(values: list[bytes]) -> None:
    dumped = bytes(BlobsDumper(Blobs).dump(Blobs(values)) or b"")
    dimensions, nulls, kind = struct.unpack_from("!iiI", dumped)
    assert (dimensions, nulls, kind) == (1 if values else 0, 0, 17)
    found, offset = [], 20
    while offset < len(dumped):
        (length,) = struct.unpack_from("!i", dumped, offset)
        found.append(dumped[offset + 4 : offset + 4 + length])
        offset += 4 + length
    assert found == values


def test_no_moment_leaves_it_to_the_server() -> None:
    assert moment(None) is None
    assert moment(0.0) == "1970-01-01T00:00:00+00:00"


# --- topics


def test_a_queue_and_a_job_of_one_name_are_told_apart() -> None:
    assert keys_in(work("name")) == [work("name")] != [result("name")]
    assert topic_of(work("name")) == work("name")
    assert topic_of(result("name")) == RESULTS


@given(st.text())
def test_the_number_of_a_topic_fits_the_lock(topic: str) -> None:
    assert -(2**31) <= number(topic) < 2**31


def test_thousands_of_ids_are_told_in_payloads_that_the_server_takes() -> None:
    ids = [new_id() for _ in range(2_000)]
    payloads = read(str(ring({}, ids).values[2]))
    assert [each for payload in payloads for each in keys_in(payload)] == [result(job_id) for job_id in ids]
    assert max(len(payload) for payload in payloads) < 8_000


# --- addresses


def test_the_way_around_a_pooler_is_no_option_of_the_driver() -> None:
    address = parse(
        "postgresql://u:p@pooler:6432/base?sslmode=require&listen=postgresql%3A%2F%2Fu%3Ap%40db%3A5432%2Fbase", 4
    )
    assert "pooler" in address.conninfo
    assert "sslmode=require" in address.conninfo
    assert "host=db" in address.listen
    assert "pooler" not in address.listen


def test_without_it_one_listens_where_one_sends() -> None:
    address = parse("postgres://u@db/base", 4)
    assert address.listen == address.conninfo


def test_no_password_is_shown() -> None:
    url = "postgresql://u:secret@db/base?listen=postgresql://u:secret@other/base"
    assert "secret" not in str(parse(url, 4))


@pytest.mark.parametrize("url", ["postgresql://u:secret@db/base?colour=red", "postgresql://u:secret@db:port/base"])
def test_a_wrong_address_is_refused_without_its_password(url: str) -> None:
    with pytest.raises(ImproperlyConfigured) as refused:
        parse(url, 4)
    assert "secret" not in str(refused.value)


# --- errors


@pytest.mark.parametrize(
    "error",
    [
        psycopg.OperationalError("connection failed: server closed the connection unexpectedly"),
        psycopg.OperationalError("connection failed: FATAL:  the database system is starting up"),
        psycopg.errors.AdminShutdown("terminating connection"),
        psycopg.errors.CannotConnectNow("starting"),
        psycopg.errors.TooManyConnections("too many"),
        psycopg.errors.ReadOnlySqlTransaction("a standby"),
        psycopg.errors.ConnectionFailure("gone"),
        psycopg.errors.LockNotAvailable("the tables are in use"),
    ],
)
def test_what_will_pass_is_tried_again_elsewhere(error: psycopg.Error) -> None:
    assert errors.lost(error)


@pytest.mark.parametrize(
    "error",
    [
        psycopg.OperationalError('connection failed: FATAL:  password authentication failed for user "u"'),
        psycopg.OperationalError('connection failed: FATAL:  database "x" does not exist'),
        psycopg.errors.InsufficientPrivilege("permission denied"),
        psycopg.errors.SyntaxError("a bug"),
    ],
)
def test_what_will_not_pass_is_refused(error: psycopg.Error) -> None:
    assert not errors.lost(error)
    assert not errors.again(error)
    made = errors.refusal(error, "postgresql://u:***@db/base")
    assert isinstance(made, BrokerError)
    assert not isinstance(made, BrokerFull)
    assert isinstance(made, ImproperlyConfigured) == (error.sqlstate is None)
    assert "postgresql://u:***@db/base" in str(made)
    assert made.__cause__ is error


def test_a_full_disk_is_called_full() -> None:
    error = psycopg.errors.DiskFull('could not extend file "base/5/16384":\n No space left on device')
    assert not errors.lost(error)
    made = errors.refusal(error, "postgresql://db")
    assert isinstance(made, BrokerFull)
    assert "\n" not in str(made)


def test_deadlocks_are_repeated_and_missing_tables_are_made() -> None:
    assert errors.again(psycopg.errors.DeadlockDetected("deadlock"))
    assert errors.missing(psycopg.errors.UndefinedTable("umbel.job"))
    assert not errors.missing(psycopg.errors.UniqueViolation("job_pkey"))
