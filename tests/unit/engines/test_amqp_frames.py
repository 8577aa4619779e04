import datetime as dt

import pytest
from pamqp import commands, frame
from pamqp.header import ContentHeader

from umbel.engines import amqp_frames as frames
from umbel.engines.amqp_frames import Properties

FRAME_MAX = 131_072


def payload(method: object) -> bytes:
    """What a frame of *method* carries."""
    return frame.marshal(method, 1)[7:-1]  # type: ignore[arg-type]


def read(data: bytes) -> list[object]:
    """What pamqp makes of *data*."""
    found: list[object] = []
    while data:
        size, _, value = frame.unmarshal(data)
        found.append(value)
        data = data[size:]
    return found


def test_a_publish_is_read_as_it_was_meant() -> None:
    properties = Properties("id", "3+", "täsk", 7)
    method, header, body = read(frames.publish(5, ("exchange", "key"), properties, b"body", FRAME_MAX))
    assert isinstance(method, commands.Basic.Publish)
    assert (method.exchange, method.routing_key, method.mandatory, method.immediate) == ("exchange", "key", True, False)
    assert isinstance(header, ContentHeader)
    assert header.body_size == 4
    told = header.properties
    assert (told.message_id, told.message_type, told.correlation_id) == ("id", "3+", "täsk")
    assert (told.priority, told.delivery_mode) == (7, 2)
    assert body.value == b"body"  # type: ignore[attr-defined]


def test_a_long_body_goes_in_several_frames() -> None:
    body = bytes(range(256)) * 10
    parts = read(frames.publish(1, ("", "key"), Properties("id"), body, 1_000))[2:]
    assert b"".join(part.value for part in parts) == body  # type: ignore[attr-defined]
    assert max(len(part.value) for part in parts) == 992  # type: ignore[attr-defined]


def test_an_empty_body_has_no_frame() -> None:
    assert len(read(frames.publish(1, ("", "key"), Properties("id"), b"", FRAME_MAX))) == 2


def test_a_delivery_tells_its_consumer_and_tag() -> None:
    method = commands.Basic.Deliver("consumer", 2**40, redelivered=True, exchange="e", routing_key="k")
    message = frames.delivery(payload(method))
    assert (message.consumer, message.tag, message.redelivered) == ("consumer", 2**40, True)


def test_a_fetched_message_tells_its_tag() -> None:
    message = frames.fetched(
        payload(commands.Basic.GetOk(9, redelivered=True, exchange="e", routing_key="k", message_count=0))
    )
    assert (message.consumer, message.tag, message.redelivered) == ("", 9, True)


def test_a_confirmation_tells_whether_it_stands_for_several() -> None:
    assert frames.acknowledged(payload(commands.Basic.Ack(7, multiple=True))) == (7, True)
    assert frames.acknowledged(payload(commands.Basic.Nack(8))) == (8, False)


def test_properties_are_found_among_all_others() -> None:
    everything = commands.Basic.Properties(
        content_type="text/plain",
        content_encoding="utf-8",
        headers={"x-delivery-count": 3, "nested": {"a": [1, "b"]}},
        delivery_mode=2,
        priority=4,
        correlation_id="correlation",
        reply_to="reply",
        expiration="1000",
        message_id="id",
        timestamp=dt.datetime.now(dt.UTC),
        message_type="5+2",
        user_id="user",
        app_id="app",
    )
    found = frames.header(ContentHeader(0, 123, everything).marshal())
    assert found == (123, Properties("id", "5+2", "correlation", 4, deliveries=3))


def test_a_message_may_have_no_properties() -> None:
    assert frames.header(ContentHeader(0, 0, commands.Basic.Properties()).marshal()) == (0, Properties())


def test_acknowledgements_are_read_as_they_were_meant() -> None:
    ack, all_up_to, nack = read(frames.ack(3, 2**33) + frames.ack(3, 5, multiple=True) + frames.requeue(3, 4))
    assert isinstance(ack, commands.Basic.Ack)
    assert (ack.delivery_tag, ack.multiple) == (2**33, False)
    assert isinstance(all_up_to, commands.Basic.Ack)
    assert (all_up_to.delivery_tag, all_up_to.multiple) == (5, True)
    assert isinstance(nack, commands.Basic.Nack)
    assert (nack.delivery_tag, nack.multiple, nack.requeue) == (4, False, True)


@pytest.mark.parametrize("size", [1, 3, 7, 1000])
def test_frames_come_out_whole_however_the_bytes_arrive(size: int) -> None:
    data = frames.ack(1, 1) + frames.HEARTBEAT + frames.ack(2, 2) * 3
    buffer = bytearray()
    found: list[tuple[int, int, bytes]] = []
    for start in range(0, len(data), size):
        buffer += data[start : start + size]
        found += frames.frames(buffer)
    assert [channel for _, channel, _ in found] == [1, 0, 2, 2, 2]
    assert not buffer


def test_garbage_is_refused() -> None:
    with pytest.raises(ValueError, match="without its end"):
        list(frames.frames(bytearray(b"\x01\x00\x01\x00\x00\x00\x01xyz")))
