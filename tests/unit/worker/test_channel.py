import asyncio
import os
import socket
import struct
from collections.abc import Iterator

import pytest

from umbel.worker.channel import MAX_FRAME_BYTES, BlockingChannel, Channel, ChannelClosed, Frames, frame
from umbel.worker.messages import Forked, LoadFailed, Lost, Message, Ready, Stop

MESSAGES: list[Message] = [Ready(), Stop(2.5), Forked(1, 4711), LoadFailed("no", "where"), Lost()]


@pytest.fixture
def ends() -> Iterator[tuple[socket.socket, socket.socket]]:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        yield ours, theirs


def test_messages_come_out_as_they_went_in() -> None:
    assert Frames().feed(b"".join(map(frame, MESSAGES))) == MESSAGES


def test_it_does_not_matter_where_the_stream_is_cut() -> None:
    stream = b"".join(map(frame, MESSAGES))
    frames = Frames()
    assert [message for byte in stream for message in frames.feed(bytes([byte]))] == MESSAGES


def test_a_frame_that_is_too_long_is_refused_before_its_body_arrives() -> None:
    with pytest.raises(ChannelClosed, match="too long"):
        Frames().feed(struct.pack("<I", MAX_FRAME_BYTES + 1))


def test_a_message_that_is_too_long_is_not_sent() -> None:
    with pytest.raises(ChannelClosed, match="too long"):
        frame(LoadFailed("x" * MAX_FRAME_BYTES))


@pytest.mark.parametrize("body", [b"", b"\xc1", b"\x80", b"\x81\xa4type\xa6Nobody", b"\x91" * 2000])
def test_what_is_no_message_closes_the_channel(body: bytes) -> None:
    with pytest.raises(ChannelClosed, match="not a message"):
        Frames().feed(struct.pack("<I", len(body)) + body)


async def test_a_channel_carries_messages_both_ways(ends: tuple[socket.socket, socket.socket]) -> None:
    one, other = map(Channel, ends)
    await one.send(Stop(1.0))
    await one.send(Ready())
    await other.send(Lost())
    assert [await other.receive(), await other.receive(), await one.receive()] == [Stop(1.0), Ready(), Lost()]


async def test_the_end_of_the_other_side_is_told(ends: tuple[socket.socket, socket.socket]) -> None:
    one, other = map(Channel, ends)
    await one.send(Ready())
    one.close()
    assert [await other.receive(), await other.receive()] == [Ready(), None]


async def test_a_reader_that_is_stuck_is_given_up_within_the_deadline(
    ends: tuple[socket.socket, socket.socket],
) -> None:
    channel = Channel(ends[0])
    message = LoadFailed("x" * (MAX_FRAME_BYTES - 100))  # more than the socket's buffers hold
    async with asyncio.timeout(30):
        with pytest.raises(ChannelClosed, match="does not read"):
            await channel.send(message, deadline=0.05)


async def test_open_files_travel_beside_their_messages(ends: tuple[socket.socket, socket.socket]) -> None:
    sender, receiver = Channel(ends[0]), BlockingChannel(ends[1])
    pipes = [os.pipe() for _ in range(2)]
    for number, (_, write) in enumerate(pipes):
        sender.send_with_fds(Forked(number, number), (write,))
    received: list[Message] = []
    while len(received) < len(pipes):
        received += receiver.read() or []
    for (read, write), copy in zip(pipes, receiver.take_fds(len(pipes)), strict=True):
        os.write(copy, b"here")
        assert os.read(read, 4) == b"here"
        for fd in (read, write, copy):
            os.close(fd)
