"""Flow: a graph of jobs whose state an engine holds. Node: jobs that wait until all members of it have ended.

A member is a job that a node waits for, named by its number in that node: from 0 without gaps at the start; one that is
added later has any larger number below 2**53 that is its own. An envelope carries only the job's `Part`, so that its
size depends neither on the depth of the flow nor on the number of members.
"""

from __future__ import annotations

from typing import Final, Literal

import msgspec

from umbel.model.failure import Failure

NOTHING: Final = 0
ONE: Final = 1
ALL: Final = 2
"""What a job takes, as its first argument, of its node's members: nothing, the only value, all values in order."""

END: Final = 1
"""The number of the node that the last jobs of a flow feed: the only end of a flow that the canvas has made."""


class Part(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """What a job is in its flow. *home* is the queue that the flow's state lives with.

    *needs* is the node that sent the job when it opened (0: the start), *takes* what the job takes of its members'
    values. *feeds* names each node that waits for this job, with the job's number there. *chord* tells that a member's
    failure reaches the job as a `ChordError`; else as it was, and revoked if the member was.
    """

    flow: str
    home: str
    needs: int
    takes: int
    feeds: tuple[tuple[int, int], ...]
    chord: bool = False


class Node(msgspec.Struct, frozen=True, gc=False):
    """A node opens when *members* jobs have joined it, and sends its jobs then. Node 0 is the start: it has no members.

    A node without jobs is an end: the flow has ended when all of its ends have opened.
    """

    key: int
    members: int


class Flow(msgspec.Struct, frozen=True, gc=False):
    """A flow as it is handed to an engine: its nodes; the jobs come beside it, so that they may be a stream.

    *plan* is opaque bytes for whoever shows the flow. *ttl* is for how many seconds the state is kept after the end;
    *expires* the unix time after which its jobs no longer start, if any.
    """

    id: str
    home: str
    nodes: tuple[Node, ...]
    plan: bytes = b""
    ttl: float = 86_400.0
    expires: float | None = None


class Join(msgspec.Struct, frozen=True, gc=False):
    """The end of a member, for one node that waits for it. *value* is its encoded value, or a `Cause` if *failed*.

    A node without jobs is told values that nobody takes, so an engine need not keep them; failed ones it always keeps.
    """

    flow: str
    home: str
    node: int
    member: int
    value: bytes
    failed: bool = False


class Cause(msgspec.Struct, frozen=True, array_like=True):
    """Why a member brought no value: the id of its job, and what that job ended with.

    *envelope* is the job itself, as it travelled last on *queue*, so that it can be sent anew; empty if it was too
    large to be kept here.
    """

    job: str
    failure: Failure
    queue: str = ""
    envelope: bytes = b""


class Input(msgspec.Struct, frozen=True, gc=False):
    """What one member brought to a node."""

    member: int
    value: bytes
    failed: bool


FlowState = Literal["running", "succeeded", "failed", "revoked"]


class Page(msgspec.Struct, frozen=True, gc=False):
    """What is asked of a node: its first *count* inputs in order whose member number is greater than *after*."""

    flow: str
    home: str
    node: int
    after: int = -1
    count: int = 0


class Standing(msgspec.Struct, frozen=True, gc=False):
    """How a flow stands, and what one node of it was brought: the first member in order that failed, and a page.

    *age* is for how many seconds the node has been open, by the engine's clock alone; None if it is not, or unknown.
    """

    state: FlowState
    expires: float | None
    failed: Input | None
    inputs: list[Input]
    age: float | None = None


class Progress(msgspec.Struct, frozen=True, gc=False):
    """How far one node has come. *sent* tells that it has opened."""

    key: int
    members: int
    joined: int
    failed: int
    sent: bool


class FlowView(msgspec.Struct, frozen=True, gc=False):
    """What an engine tells of a flow; times are unix seconds."""

    id: str
    home: str
    state: FlowState
    created: float
    ended: float | None
    plan: bytes
    nodes: tuple[Progress, ...] = ()
