import os
import socket
import threading
from collections.abc import Iterator

import numpy as np
import pytest

from flwr.runtime.channel import Channel, Received

Pair = tuple[Channel, Channel]


@pytest.fixture
def pair() -> Iterator[Pair]:
    left, right = socket.socketpair()
    channels = Channel(left), Channel(right)
    yield channels
    for channel in channels:
        channel.close()


def frames_of(received: Received, *sizes: int) -> list[bytes]:
    found, offset = [], 0
    for size in sizes:
        found.append(received.frames[offset : offset + size].tobytes())
        offset += -(-size // 64) * 64
    return found


def test_messages_arrive_whole_and_in_order(pair: Pair) -> None:
    here, there = pair
    here.send(b"first")
    here.send(b"second", [np.frombuffer(b"abc", np.uint8), np.frombuffer(b"defgh", np.uint8)])
    here.send(b"")
    assert there.receive().header == b"first"
    second = there.receive()
    assert second.header == b"second"
    assert frames_of(second, 3, 5) == [b"abc", b"defgh"]
    assert there.receive().header == b""


def test_nothing_there_is_not_waited_for(pair: Pair) -> None:
    here, there = pair
    assert list(there.arrived()) == []
    here.send(b"one")
    here.send(b"two")
    assert [received.header for received in there.arrived()] == [b"one", b"two"]


@pytest.mark.parametrize("size", [1, 70_000, 5_000_000])
def test_large_messages_pass_through_a_small_socket(pair: Pair, size: int) -> None:
    here, there = pair
    header = bytes(range(256)) * (size // 256 + 1)
    frames = [np.full(size, i, np.uint8) for i in range(3)]
    sender = threading.Thread(target=here.send, args=(header, frames))
    sender.start()
    received = there.receive()
    sender.join(30)
    assert received.header == header
    assert frames_of(received, size, size, size) == [f.tobytes() for f in frames]


def test_more_frames_than_one_call_takes(pair: Pair) -> None:
    here, there = pair
    frames = [np.full(3, i % 256, np.uint8) for i in range(2000)]
    sender = threading.Thread(target=here.send, args=(b"many", frames))
    sender.start()
    received = there.receive()
    sender.join(30)
    assert frames_of(received, *[3] * 2000) == [f.tobytes() for f in frames]


def test_descriptors_travel_with_their_message(pair: Pair) -> None:
    here, there = pair
    ends = [os.pipe() for _ in range(3)]
    here.send(b"none")
    here.send(b"two", fds=[ends[0][1], ends[1][1]])
    here.send(b"one", fds=[ends[2][1]])
    counts = []
    for number in range(3):
        received = there.receive()
        counts.append(len(received.fds))
        for fd in received.fds:
            assert not os.get_inheritable(fd)
            os.write(fd, str(number).encode())
            os.close(fd)
    assert counts == [0, 2, 1]
    assert [os.read(read_end, 1) for read_end, _ in ends] == [b"1", b"1", b"2"]
    for read_end, write_end in ends:
        os.close(read_end)
        os.close(write_end)


def test_a_closed_peer_ends_the_channel(pair: Pair) -> None:
    here, there = pair
    here.send(b"last words")
    here.close()
    assert there.receive().header == b"last words"
    with pytest.raises(EOFError):
        there.receive()
    with pytest.raises(EOFError):
        list(there.arrived())
