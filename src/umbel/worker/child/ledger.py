"""Ledger: keeps terminal records in a result store that is not the broker, so that a job still ends once.

Order: claim a job that came back before it starts; put its record; then the broker's settle removes it. A crash between
the last two is repaired by the redelivery: the claim finds the record and the job is not run again.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Final, Protocol

import msgspec

from umbel.contracts.broker import DONE_MARK_SECONDS, Settlement
from umbel.contracts.powers import Record, ResultStore
from umbel.model.flow import Join
from umbel.model.job import Delivery

if TYPE_CHECKING:
    from umbel.stores.large import LargeRecords


VALUE_SECONDS: Final = 7 * 86_400.0
"""How long a large value of a member is kept for those who wait for other members."""


class Ledger(Protocol):
    """Where records go beside the broker's settle."""

    async def ended(self, deliveries: Sequence[Delivery]) -> dict[str, bytes]:
        """The records of those of *deliveries* that have ended already and must not run again, by id."""
        ...

    async def record(self, settlements: list[Settlement]) -> list[Settlement]:
        """Store the records of *settlements*; answers what is left for the broker to carry out."""
        ...

    async def values(self, found: list[bytes]) -> list[bytes]:
        """The values that joins brought, where a broker may have *found* references to them."""
        ...


class OwnEngine:
    """Broker and result store are one engine: its settle stores the record itself, in the same atomic step.

    Records that *large* keeps are written before the record that refers to them.
    """

    def __init__(self, large: LargeRecords | None = None) -> None:
        self._large = large

    @property
    def refers(self) -> bool:
        """Whether some records are elsewhere, and only referred to."""
        return self._large is not None

    async def ended(self, deliveries: Sequence[Delivery]) -> dict[str, bytes]:
        """None: the fence of one engine leaves no gap between record and removal."""
        del deliveries
        return {}

    async def record(self, settlements: list[Settlement]) -> list[Settlement]:
        """All is left to the broker, but large records, which become references."""
        if self._large is None:
            return settlements
        records = [Record(one.delivery.id, one.delivery.queue, one.record, one.ttl) for one in settlements]
        stowed = await self._large.stow(records)
        referring = [
            msgspec.structs.replace(one, record=record.value) if record.value != one.record else one
            for one, record in zip(settlements, stowed, strict=True)
        ]
        return await _with_small_joins(self._large, referring)

    async def values(self, found: list[bytes]) -> list[bytes]:
        """What was found, or what it refers to."""
        return found if self._large is None else await _read(self._large, found)


class OtherStore:
    """The records live in *store*, another engine than the broker's. *session* owns what this child claims.

    What *large* keeps of joins is written before the join that refers to it.
    """

    def __init__(
        self, store: ResultStore, session: str, claim_seconds: float, large: LargeRecords | None = None
    ) -> None:
        """*claim_seconds* is how long a claim is remembered."""
        self._store = store
        self._large = large
        self._session = session
        self._claim_seconds = claim_seconds

    async def ended(self, deliveries: Sequence[Delivery]) -> dict[str, bytes]:
        """Claim the jobs that came back; answers the records of those that ended before."""
        returned = [delivery for delivery in deliveries if delivery.returned]
        if not returned:
            return {}
        claims = [Record(one.id, one.queue, b"", self._claim_seconds, self._owner(one)) for one in returned]
        found = await self._store.claim(claims)
        return {one.id: record for one, record in zip(returned, found, strict=True) if record is not None}

    async def record(self, settlements: list[Settlement]) -> list[Settlement]:
        """Put the records; the broker then only removes the jobs, leaving done marks."""
        with_record = [one for one in settlements if one.record]
        if with_record:
            await self._store.put(
                [
                    Record(one.delivery.id, one.delivery.queue, one.record, one.ttl, self._owner(one.delivery))
                    for one in with_record
                ]
            )
        # A record that was refused (another was first) still ends the job: the first one is its end.
        left = [
            msgspec.structs.replace(one, record=b"", ttl=DONE_MARK_SECONDS) if one.record else one
            for one in settlements
        ]
        return left if self._large is None else await _with_small_joins(self._large, left)

    async def values(self, found: list[bytes]) -> list[bytes]:
        """What was found, or what it refers to."""
        return found if self._large is None else await _read(self._large, found)

    def _owner(self, delivery: Delivery) -> str:
        return f"{self._session}:{delivery.number}"


async def _with_small_joins(large: LargeRecords, settlements: list[Settlement]) -> list[Settlement]:
    # Why a member failed is read where values are not: by its engine's callers, as it stands there. It stays as it is.
    pairs = [(one.delivery, join) for one in settlements for join in one.joins if not join.failed]
    values = [Record(delivery.id, delivery.queue, join.value, VALUE_SECONDS) for delivery, join in pairs]
    stowed = iter(await large.stow(values))
    return [
        msgspec.structs.replace(
            one, joins=tuple(join if join.failed else _bringing(join, next(stowed)) for join in one.joins)
        )
        for one in settlements
    ]


def _bringing(join: Join, stowed: Record) -> Join:
    return msgspec.structs.replace(join, value=stowed.value)


async def _read(large: LargeRecords, found: list[bytes]) -> list[bytes]:
    return [await large.aread(value) or b"" for value in found]
