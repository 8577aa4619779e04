"""What travels as rows, without names, ends in the history as the events would that it stands for."""

from __future__ import annotations

from typing import Any

import msgspec
from msgspec import structs

from tests.conformance.history_stage import NOW, HistoryStage, batch, event
from umbel.model.event import Ran, Runs, Sends, Sent
from umbel.model.flow import Part
from umbel.retelling import RETRY_OF, SCHEDULE, read
from umbel.wire.envelope import Envelope
from umbel.wire.envelope import encode as encode_envelope
from umbel.wire.events import encode


def _packed(value: object) -> msgspec.Raw:
    return msgspec.Raw(msgspec.msgpack.encode(value))


class RowsSuite(HistoryStage):
    """The sentences of rows."""

    def test_rows_of_plain_successes_end_as_their_events_would(self) -> None:
        ids = ("plain", "waits", "odd", "unsent", "runs", "tried", "flows", "again", "gone", "over", "back")
        sent = [event("task-sent", job) for job in ids if job not in ("unsent", "flows", "again")]
        known = [
            *sent,
            event("task-sent", "flows", flow="f"),
            *(event("task-started", job, 1, NOW + 1, wait=9.0) for job in ("runs", "tried")),
            event("task-retried", "tried", 2, NOW + 2, error="E", run=0.5),
            *(event("task-dead", job, 3, NOW + 2, error="E") for job in ("gone", "back")),
            event("task-sent", "back", at=NOW + 2.5, revived=True),
            event("task-failed", "over", 1, NOW + 2, error="E"),
        ]
        rows: list[Ran] = [(job, NOW + 3, 0.25, 0.5, b"\x07") for job in (*ids, "again", "sent-later")]
        rows += [("waits", NOW + 4, 1.5, -1.0, b"\xc0"), ("odd", NOW * 9, -1.0, 1e300, b"\xc1[1]")]
        told = structs.replace(batch(2, worker="w"), runs=(Runs("shop.buy", "orders", rows[:-2]),))
        more = structs.replace(batch(3, worker="v"), runs=(Runs("shop.buy", "orders", rows[-2:]),))
        late = batch(4, event("task-sent", "again"), event("task-sent", "sent-later"))
        found: list[Any] = []
        for as_rows in (False, True):
            self._empty()
            self.write(batch(1, *known, worker="w"))
            for each in (told, more, late):
                self.history.ingest([read(encode(each), rows=as_rows)])
            found.append((self._contents(), [(row.id, row.worker) for row in self.history.jobs().rows]))
        assert found[0] == found[1]
        assert "plain" in self.ids("state:succeeded worker:w has:result run<1s wait<1s")

    def test_rows_of_sent_jobs_end_as_their_events_would(self) -> None:
        ids = ("plain", "done", "late", "known", "twice", "again", "flows", "root", "nameless", "odd", "runs", "nul")
        given = _packed((4, "x")), _packed({"lang": "de"})
        made = {job: Envelope("shop.buy", NOW, *given) for job in ids}
        made["late"] = structs.replace(made["late"], eta=NOW + 60, expires=NOW + 90)
        made["flows"] = structs.replace(made["flows"], part=Part("f", "orders", 0, 0, ()))
        made["root"] = structs.replace(made["root"], root_id="root", parent_id="done", args=_packed(("*" * 2_000,)))
        headers = {RETRY_OF: "done", SCHEDULE: "s" * 300, "token": "t", "n": 5}
        made["odd"] = structs.replace(made["odd"], headers=headers, eta=NOW - 9, root_id="r", args=_packed(()))
        made["nul"] = structs.replace(made["nul"], kwargs=_packed({"a\0b": ["c\0", {"d": [1.0, None, 2**63]}]}))
        rows: list[Sent] = [(job, NOW, 3, encode_envelope(made[job])) for job in ids if job not in ("odd", "nameless")]
        rows += [rows[4], ("odd", NOW * 9, 77, encode_envelope(made["odd"])), ("bad", NOW, 0, b"nonsense")]
        nameless = Sends("", "orders", (), [("nameless", NOW, -1, encode_envelope(made["nameless"]))])
        sends = (Sends("shop.buy", "orders", ("count", "password"), rows), nameless)
        ran: list[Ran] = [(job, NOW + 3, 0.25, 0.5, b"\x07") for job in ids if job not in ("plain", "late", "again")]
        ran += [("again", NOW + 4, 1.0, 2.0, b"\xc0"), ("again", NOW + 5, 1.0, 2.0, b"\xc0")]
        begun = batch(2, event("task-started", "runs", 1), source="client")
        sent = structs.replace(begun, sends=sends, words=("lang",))
        done = structs.replace(batch(3, worker="w"), runs=(Runs("shop.buy", "orders", ran),))
        orders = ([sent, done], [done, sent], [sent], [done])
        found: list[Any] = []
        for as_rows, together in ((False, False), (False, True), (True, False), (True, True)):
            for told in orders:
                self._empty()
                self.write(batch(1, event("task-sent", "known", headers="{}"), worker="w"))
                batches = [read(encode(each), rows=as_rows) for each in told]
                for each in [batches] if together else [[one] for one in batches]:
                    self.history.ingest(each)
                found.append((len(told), told[0].number, self._counted(), self._shown()))
        assert found[0][2:] == found[1][2:]
        for start in range(len(orders), len(found), len(orders)):
            assert found[start : start + len(orders)] == found[: len(orders)]

    def _counted(self) -> dict[str, list[dict[str, Any]]]:
        """All rows, but for counts of none: whether a job of a flow was ever seen waiting is a matter of order."""
        found = self._contents()
        return {**found, "flow_count": [row for row in found["flow_count"] if row["n"]]}

    def _shown(self) -> list[Any]:
        """What lists show of all jobs, and what they are found by."""
        jobs = sorted((row.id, row.task, row.queue, row.worker, row.state) for row in self.history.jobs().rows)
        asked = ("args.0:4", "arg.lang:de", "arg.count:4", "since:1h", "header.n:5", "has:result")
        return [jobs, [sorted(self.ids(each)) for each in asked]]
