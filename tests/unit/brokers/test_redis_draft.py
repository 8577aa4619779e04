"""How a flow becomes fields of a hash: chunks of jobs, states of nodes; and what settlements leave for other nodes."""

from __future__ import annotations

from umbel.brokers.redis.packing import Parcel, batches, parcel
from umbel.contracts.broker import Settlement
from umbel.engines.redis_command import Word
from umbel.engines.redis_draft import MAX_BYTES, MAX_CHUNK, MAX_CHUNK_BYTES, MAX_FIELDS, Draft
from umbel.model.flow import Flow, Join, Node
from umbel.model.job import Delivery, Job


def drafted(*jobs: tuple[int, Job], clustered: bool = False) -> dict[Word, Word]:
    """The fields of a flow of three nodes."""
    draft = Draft(Flow("flow", "home", (Node(0, 0), Node(1, 7), Node(2, 1)), expires=5.5, ttl=2.0), clustered=clustered)
    for node, job in jobs:
        draft.add(node, job)
    roots, fields = draft.finish()
    assert roots == [0]
    return dict(zip(fields[::2], fields[1::2], strict=True))


def member(number: int, queue: str = "home", size: int = 1) -> Job:
    return Job(f"{number:03}", queue, b"\xff" * size)


def test_a_node_is_a_text_with_the_number_of_its_chunks_and_an_end_has_none() -> None:
    fields = drafted(*((1, member(number)) for number in range(2 * MAX_CHUNK + 1)))
    assert fields["n:1"] == "7 0 0 0 -1 0 J3:13:umbel:{home}:"
    assert fields["n:2"] == "1 0 0 0 -1 0 "
    assert fields["ends"] == 2
    assert (fields["expires"], fields["ttl"]) == ("5.5", 2000)
    assert [name for name in fields if str(name).startswith("j:")] == ["j:1:0:0", "j:1:0:1", "j:1:0:2"]


def test_a_chunk_holds_the_bytes_of_its_jobs_in_their_order() -> None:
    fields = drafted((0, Job("first", "home", b"\xff\x00", delay=1.5)), (0, Job("é", "home", b"", priority=9)))
    first = b"\xdb\0\0\0\5first" + b"\x09" + b"\xd3" + (-1500).to_bytes(8, "big", signed=True) + b"\xdb\0\0\0\2\xff\0"
    second = b"\xdb\0\0\0\2\xc3\xa9" + b"\x00" + b"\xd3" + bytes(8) + b"\xdb\0\0\0\0"
    assert fields["j:0:0:0"] == b"\xdc\0\x08" + first + second


def test_each_queue_of_a_node_has_chunks_of_its_own_and_those_of_other_nodes_of_a_cluster_go_by_the_outbox() -> None:
    jobs = [(0, member(number, "other" if number % 2 else "home")) for number in range(4)]
    assert drafted(*jobs)["n:0"] == "0 0 0 0 -1 0 J1:13:umbel:{home}:J1:14:umbel:{other}:"
    assert drafted(*jobs, clustered=True)["n:0"] == "0 0 0 0 -1 0 J1:13:umbel:{home}:O1:5:other"


def test_large_jobs_are_few_in_a_chunk() -> None:
    fields = drafted(*((0, member(number, size=MAX_CHUNK_BYTES // 2)) for number in range(5)))
    assert str(fields["n:0"]).startswith("0 0 0 0 -1 0 J3:")


def test_a_stream_that_goes_round_many_nodes_is_kept_in_bounds() -> None:
    nodes = tuple(Node(number, 0) for number in range(5000))
    draft = Draft(Flow("flow", "home", nodes), clustered=False)
    stored = 0
    for node in nodes:
        draft.add(node.key, member(node.key % 1000, size=1000))
        if draft.full:
            assert draft.size <= MAX_BYTES + 2048 * 1100
            stored += len(draft.taken()) // 2
    assert stored > 2 * MAX_FIELDS
    assert draft.size == 0 or not draft.full


def settled(*joins: Join, **fields: object) -> Settlement:
    return Settlement(Delivery("id", "home", 9, 1, b""), "end", joins=joins, **fields)  # type: ignore[arg-type]


def test_only_a_batch_with_joins_takes_the_script_for_them() -> None:
    plain, joined = settled(), settled(Join("flow", "home", 1, 2, b"v"))
    (one,), (other,) = batches([plain]), batches([plain, joined])
    assert (one.script, other.script) == ("settle", "settle_joins")
    assert other.operations == ["N", b"umbel:{home}:", "flow", 1, 2, b"1v"]


def test_a_join_of_a_flow_elsewhere_is_left_as_a_parcel_on_a_cluster_alone() -> None:
    far = Join("flow", "away", 1, 2, b"v", failed=True)
    (batch,) = batches([settled(far)], apart=True)
    assert batch.operations[:2] == ["P", "#id"]
    assert parcel(settled(far)) == Parcel(joins=(("away", "flow", 1, 2, b"0v"),))
    (batch,) = batches([settled(far)])
    assert batch.operations == ["N", b"umbel:{away}:", "flow", 1, 2, b"0v"]


def test_follow_ups_wait_for_a_node_elsewhere_that_has_to_hear_of_them_first() -> None:
    after = (Job("after", "home", b"E", delay=2.0),)
    near = settled(added=(("flow", "home", 1),), follow_ups=after)
    (batch,) = batches([near], apart=True)
    assert [batch.operations[0], batch.operations[5]] == ["A", "J"]
    far = settled(added=(("flow", "away", 1),), follow_ups=after)
    (batch,) = batches([far], apart=True)
    assert [word for word in batch.operations if word in ("A", "J", "O", "P")] == ["P"]
    assert parcel(far) == Parcel((("away", "flow", 1, "id:0"),), (("after", "home", 9, -2000, b"E"),))
