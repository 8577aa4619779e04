"""Large records by reference: the record itself is an object, and the store holds a few bytes that name it."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Sequence
from typing import Final, TypeGuard

import msgspec

from umbel.contracts.powers import Record
from umbel.engines.threads import Threads
from umbel.exceptions import BackendError
from umbel.settings import Settings
from umbel.stores.objects import LARGE, TIDY_SECONDS, Entry, at_once, key_of, objects_at, tidy

SETTING: Final = "result_object_store"
# No msgpack value begins with 0xC1, so no record looks like a reference.
_REFERENCE: Final = b"\xc1R"


class LargeRecords:
    """The objects at ``result_object_store``; *clock* answers unix seconds. Raises `ImproperlyConfigured`."""

    def __init__(self, settings: Settings, clock: Callable[[], float] = time.time) -> None:
        self._objects = objects_at(settings.result_object_store, SETTING, settings)
        self._limit = settings.result_inline_max_bytes
        self._clock = clock
        self._threads = Threads(self._objects.name, settings.broker_send_deadline)
        self._tidy_at = 0.0

    async def stow(self, records: Sequence[Record]) -> list[Record]:
        """*records*, with references instead of large values; those were written when this returns."""
        large = {number: record for number, record in enumerate(records) if len(record.value) > self._limit}
        if not large:
            return list(records)
        references = await self._threads.acall(at_once, self._write, large.values())
        replaced = dict(zip(large, references, strict=True))
        if time.monotonic() >= self._tidy_at:
            self._tidy_at = time.monotonic() + TIDY_SECONDS
            self._threads.start(tidy, self._objects, int(self._clock() * 1000))
        return [
            msgspec.structs.replace(record, value=replaced[number]) if number in replaced else record
            for number, record in enumerate(records)
        ]

    def read(self, found: bytes | None) -> bytes | None:
        """The record that *found* is or refers to."""
        return self._threads.call(self._read, found) if is_reference(found) else found

    async def aread(self, found: bytes | None) -> bytes | None:
        """The async twin of `read`."""
        return await self._threads.acall(self._read, found) if is_reference(found) else found

    def forget(self, found: bytes | None) -> None:
        """Delete the object that *found* refers to, if it does."""
        if is_reference(found):
            self._threads.call(self._objects.delete, _key_in(found))

    async def aforget(self, found: bytes | None) -> None:
        """The async twin of `forget`."""
        if is_reference(found):
            await self._threads.acall(self._objects.delete, _key_in(found))

    def _write(self, record: Record) -> bytes:
        # Named after its content: writing it again changes nothing, and no other writer can replace it.
        key = f"{key_of(record.id)}=L{hashlib.sha256(record.value).hexdigest()[:32]}"
        expires = int((self._clock() + record.ttl) * 1000)
        self._objects.overwrite(key, Entry(LARGE, expires, "", record.value).pack())
        return _REFERENCE + key.encode()

    def _read(self, found: bytes) -> bytes:
        there = self._objects.read(_key_in(found))
        if there is None:
            raise BackendError(f"{self._objects.name}: the object of a large result is gone")
        return Entry.unpack(there, self._objects.name).value


def is_reference(found: bytes | None) -> TypeGuard[bytes]:
    """Tell whether *found* is no record, but names the object that is."""
    return found is not None and found.startswith(_REFERENCE)


def _key_in(reference: bytes) -> str:
    return reference.removeprefix(_REFERENCE).decode()
