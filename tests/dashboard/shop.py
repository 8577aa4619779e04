"""A shop whose dashboard has something on every page: jobs that went well and not, errors, flows."""

from __future__ import annotations

from pathlib import Path

import msgspec

from tests.dashboard.stage import Stage
from umbel import chain, chord, group


class Shop(msgspec.Struct, frozen=True):
    """A *stage* on which this has happened: ids of jobs that were *paid*, have *failed*, and ids of flows."""

    stage: Stage
    paid: tuple[str, ...]
    failed: tuple[str, ...]
    chord: str
    broken: str
    waiting: str


def opened(folder: Path) -> Shop:
    """A shop in *folder*, in which jobs have run."""
    stage = Stage(folder)
    app = stage.app

    @app.task(name="shop.pay", queue="default", max_retries=2)
    def pay(order: int, currency: str = "EUR") -> int:
        """Take the money for an order.

        Tells how much.
        """
        del currency
        return order

    @app.task(name="shop.refuse")
    def refuse(order: int) -> None:
        raise ValueError(f"order {order} is refused")

    @app.task(name="shop.pack")
    def pack(parcels: list[int]) -> int:
        return sum(parcels)

    @app.task(name="shop.label")
    def label(parcel: int) -> int:
        return parcel

    paid = tuple(pay.delay(order).id for order in range(4))
    failed = tuple(refuse.delay(order).id for order in (17, 18))
    packed = chord(group(label.s(n) for n in range(3)), pack.s()).delay()
    broken = chain(refuse.s(19), label.s()).delay()
    stage.run(*paid, *failed, packed.id, broken.id)
    waiting = chord(group(label.s(n).set(countdown=3_600) for n in range(3)), pack.s()).delay()
    stage.record()
    flows = [flow.id for flow in app.flows.list()]
    found = {app.flows.get(handle.id).id for handle in (packed, broken, waiting)}  # type: ignore[union-attr]
    assert found == set(flows)
    return Shop(stage, paid, failed, *(app.flows.get(each.id).id for each in (packed, broken, waiting)))  # type: ignore[union-attr]
