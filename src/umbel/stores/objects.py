"""Results as objects: Amazon S3 and its likes, Google's, Azure's, or files in a folder. One object a record."""

from __future__ import annotations

import hashlib
import re
import secrets
import struct
import time
from collections.abc import Callable, Collection, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import Final, TypeVar

import msgspec

from umbel.contracts.powers import Record
from umbel.engines.objects import Found, Objects
from umbel.engines.objects_folder import Folder
from umbel.engines.patience import Patience
from umbel.engines.unfit import Unfit
from umbel.exceptions import BackendError, BrokerUnavailable
from umbel.model.finding import Finding, apart, clock
from umbel.settings import Settings
from umbel.stores.threaded import ThreadedStore

S = TypeVar("S")
T = TypeVar("T")

SETTING: Final = "result_backend"
TIDY_SECONDS: Final = 3600.0
AT_ONCE: Final = 16
"""How many requests of one call may be under way."""

LONGEST_NAME: Final = 200
_UNSAFE: Final = re.compile(r"[^A-Za-z0-9_-]")
_HEADER: Final = struct.Struct(">4scqH")  # what it is, kind, expiry in unix ms, length of the owner's name
_MAGIC: Final = b"UMB1"
_RECORD: Final = b"R"
_CLAIM: Final = b"C"
LARGE: Final = b"L"
"""The kind of an object that a record elsewhere refers to; see `large`."""


def connect(url: str, settings: Settings, clock: Callable[[], float] = time.time) -> ThreadedStore:
    """The store at *url*, ``s3://bucket/prefix`` and so on; connects when used. Raises `ImproperlyConfigured`."""
    objects = objects_at(url, SETTING, settings)
    return ThreadedStore(ObjectShelf(objects, clock), settings.broker_send_deadline)


class Entry(msgspec.Struct, frozen=True, gc=False):
    """What one object holds: a record, or the claim of *owner*; *expires* is unix ms."""

    kind: bytes
    expires: int
    owner: str
    value: bytes

    @classmethod
    def unpack(cls, found: Found, name: str) -> Entry:
        """What is in *found*, an object of the store *name*. Raises `BackendError`."""
        body = found.body
        if not body:
            return cls(_CLAIM, 0, "", b"")  # a power failure may leave a file empty
        if not body.startswith(_MAGIC) or len(body) < _HEADER.size:
            raise BackendError(f"{name} holds an object that Umbel did not write, or a newer Umbel did")
        _, kind, expires, length = _HEADER.unpack_from(body)
        begin = _HEADER.size + length
        return cls(kind, expires, body[_HEADER.size : begin].decode(errors="replace"), body[begin:])

    def pack(self) -> bytes:
        """The body of the object."""
        owner = self.owner.encode()
        return _HEADER.pack(_MAGIC, self.kind, self.expires, len(owner)) + owner + self.value

    @property
    def is_record(self) -> bool:
        """Whether it is a record."""
        return self.kind == _RECORD


class ObjectShelf:
    """Records and claims as objects; *clock* answers unix seconds. All hosts must agree about the time.

    What has expired reads as missing and makes room for another; a folder is tidied, a bucket by its lifecycle rule.
    """

    tidy_seconds: float = TIDY_SECONDS

    def __init__(self, objects: Objects, clock: Callable[[], float] = time.time) -> None:
        self.name = objects.name
        self._objects = objects
        self._clock = clock
        self._proven = False

    def look(self, ids: Collection[str]) -> dict[str, bytes]:
        """The records of *ids* that are there, one request each."""
        entries = zip(ids, at_once(self._alive, ids), strict=True)
        return {job_id: entry.value for job_id, entry in entries if entry is not None and entry.is_record}

    def put(self, records: Sequence[Record]) -> list[bool]:
        """Store records, first wins, by writes that fail where an object is."""
        self._prove()
        first: dict[str, Record] = {}
        for record in records:
            first.setdefault(record.id, record)
        stored = dict(zip(first, at_once(self._put, first.values()), strict=True))
        return [stored[record.id] == record.value for record in records]

    def claim(self, claims: Sequence[Record]) -> list[bytes | None]:
        """Claim ids for their owner, or answer their records."""
        self._prove()
        return at_once(self._claim, claims)

    def forget(self, job_id: str) -> None:
        """Delete the object, if there is one."""
        self._objects.delete(key_of(job_id))

    def tidy(self) -> None:
        """Delete what has expired from a folder."""
        tidy(self._objects, self._now())

    def examine(self, *, thorough: bool) -> list[Finding]:
        """How it stands with the store; *thorough* writes an object to learn its clock. See `Examiner`."""
        found = self._objects.about()
        if thorough:
            key = f"clock-{secrets.token_hex(8)}"
            before = time.time()
            told = self._objects.stamped(key)
            found.append(clock(apart(told, before, time.time())))
        return found

    def close(self) -> None:
        """Nothing to give back: obstore keeps connections by itself."""

    def _put(self, record: Record) -> bytes | None:
        """The record that is stored afterwards; None if another one's claim is in the way."""
        mine = self._entry(_RECORD, record, record.value)
        other = self._write(record.id, mine, lambda there: not there.is_record and there.owner == record.owner)
        if other is None:
            return record.value
        return other.value if other.is_record else None

    def _claim(self, claim: Record) -> bytes | None:
        other = self._write(claim.id, self._entry(_CLAIM, claim, b""), lambda there: not there.is_record)
        return None if other is None else other.value

    def _write(self, job_id: str, mine: bytes, yields: Callable[[Entry], bool]) -> Entry | None:
        """Write unless what is there is alive and does not yield; answers what stayed."""
        key = key_of(job_id)
        patience = Patience(self.name, self._objects.deadline)
        while True:  # each further turn means that another writer was faster
            if self._objects.create(key, mine):
                return None
            found = self._objects.read(key)
            if found is not None:
                there = self._read(found)
                if there.expires > self._now() and not yields(there):
                    return there
                if self._objects.replace(key, mine, found.version):
                    return None
            time.sleep(patience.pause(BrokerUnavailable("other writers were faster each time")))

    def _alive(self, job_id: str) -> Entry | None:
        found = self._objects.read(key_of(job_id))
        entry = None if found is None else self._read(found)
        return entry if entry is not None and entry.expires > self._now() else None

    def _read(self, found: Found) -> Entry:
        return Entry.unpack(found, self.name)

    def _entry(self, kind: bytes, record: Record, value: bytes) -> bytes:
        return Entry(kind, self._now() + round(record.ttl * 1000), record.owner, value).pack()

    def _now(self) -> int:
        return int(self._clock() * 1000)

    def _prove(self) -> None:
        """Make sure, once, that the store keeps the conditions of a write. Raises `Unfit`."""
        if self._proven:
            return
        objects, key = self._objects, f".probe-{secrets.token_hex(8)}"
        try:
            kept = objects.create(key, b"1") and not objects.create(key, b"2")
            found = objects.read(key)
            kept = kept and found is not None and found.body == b"1" and objects.replace(key, b"3", found.version)
            kept = kept and found is not None and not objects.replace(key, b"4", found.version)
        finally:
            objects.delete(key)
        if not kept:
            raise Unfit(
                f"{self.name} does not keep the conditions of a write (If-None-Match, If-Match), so that a "
                "result could be replaced by another: use a store that does, or another result_backend"
            )
        self._proven = True


def objects_at(url: str, setting: str, settings: Settings) -> Objects:
    """The objects at *url*, which comes from *setting*; connects when used. Raises `ImproperlyConfigured`."""
    make = Folder if url.startswith("file:") else Objects
    return make(url, setting, settings.broker_send_deadline, settings.broker_connection_timeout)


def tidy(objects: Objects, now: int) -> None:
    """Delete what has expired at *now*, unix ms, from a folder. In a bucket only its lifecycle rule can, safely."""
    if not isinstance(objects, Folder):
        return
    for key, found in objects.entries():
        with suppress(BackendError):  # a file of another program stays
            if Entry.unpack(found, objects.name).expires <= now:
                objects.remove(key, found.version)


def key_of(job_id: str) -> str:
    """The name of the object of *job_id*: safe on every store, and another for each id."""
    name = _UNSAFE.sub(lambda found: f"={ord(found[0]):02X}", job_id)
    return name if len(name) <= LONGEST_NAME else f"=={hashlib.sha256(job_id.encode()).hexdigest()}"


def at_once(function: Callable[[S], T], items: Iterable[S]) -> list[T]:
    """The answers of *function* to each of *items*, several of them waited for at the same time."""
    work = list(items)
    if len(work) == 1:
        return [function(work[0])]
    with ThreadPoolExecutor(min(AT_ONCE, len(work)), "umbel-objects") as threads:
        return list(threads.map(function, work))
