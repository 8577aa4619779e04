"""Redis Cluster: each command to the node that has its slot. The same calls as `umbel.engines.redis.Engine`.

An engine a node does the talking; here is the map of slots, kept until a node or a lost connection contradicts it.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncGenerator, Callable, Generator, Sequence
from typing import Any, Final, TypeAlias, TypeVar

from hiredis import ReplyError

from umbel.engines.operation import Operation, adrive, drive
from umbel.engines.patience import Patience
from umbel.engines.redis import Engine
from umbel.engines.redis_address import Address
from umbel.engines.redis_asking import aask, ask
from umbel.engines.redis_command import Command, Word
from umbel.engines.redis_hosts import Host
from umbel.engines.redis_reply import refusal
from umbel.engines.redis_slots import Redirection, key_of, owners, redirection, slot_of, waited_for
from umbel.engines.redis_subscription import AsyncSubscription, Subscription
from umbel.engines.redis_trying import paused, refused

_HOPS: Final = 5
_ASK_SECONDS: Final = 1.0
_QUESTION: Final = ("CLUSTER", "SLOTS")
_PING: Final = Command((b"PING",))

T = TypeVar("T")
Errand: TypeAlias = tuple[Host, Sequence[Command] | None]
"""Commands for one node; None asks it for the map."""


class ClusterEngine:
    """All of a Redis Cluster, as `Engine` is one server; see there for what the methods promise."""

    def __init__(
        self, address: Address, deadline: float, missed: Callable[[], Sequence[Command]] | None = None
    ) -> None:
        self.address = address
        self._deadline = deadline
        self._name = str(address)
        self._missed = missed
        self._met: set[bytes] = set()
        self._nodes: dict[Host, Engine] = {}
        self._owners: list[Host | None] = []
        self._known = list(address.nodes)

    def call(self, commands: Sequence[Command]) -> list[Any]:
        """Send each of *commands* to its node, answer the replies. Nodes are called in the order of their first one."""
        patience = self.patience()
        while commands:
            try:
                replies = drive(self._routed(commands), lambda errand: self._run(errand, patience))
            except OSError as error:
                self._owners = []
                time.sleep(paused(patience, commands, error))
            else:
                return self._answered(commands, replies) if refused(replies) else replies
        return []

    async def acall(self, commands: Sequence[Command]) -> list[Any]:
        """The async twin of `call`."""
        patience = self.patience()
        while commands:
            try:
                replies = await adrive(self._routed(commands), lambda errand: self._arun(errand, patience))
            except OSError as error:
                self._owners = []
                await asyncio.sleep(paused(patience, commands, error))
            else:
                return self._answered(commands, replies) if refused(replies) else replies
        return []

    async def pop(self, keys: Sequence[bytes], seconds: float) -> bytes | None:
        """Wait for an element in one of the lists *keys*: on one connection a slot, whichever is first.

        The other connections are given up, as they would take the next element from whoever waits then.
        """
        slots: dict[int, list[bytes]] = {}
        for key in keys:
            slots.setdefault(slot_of(key), []).append(key)
        waits = [asyncio.ensure_future(self._popped(group, seconds)) for group in slots.values()]
        try:
            await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for wait in waits:
                wait.cancel()
            found = await asyncio.gather(*waits, return_exceptions=True)
        taken = [key for key in found if isinstance(key, bytes)]
        if len(taken) > 1:  # two at the same moment: the others are put back for whoever waits next
            await self.acall([Command((b"RPUSH", key, 1)) for key in taken[1:]])
        for error in found:
            if not taken and isinstance(error, Exception):
                raise error
        return taken[0] if taken else None

    def blocked(self, words: tuple[Word, ...], seconds: float, patience: Patience) -> Any:
        """One try of a command that waits, by the slot of its key; see `Engine.blocked`."""
        try:
            drive(self._learned(), lambda errand: self._run(errand, patience))
            host = self._owner(slot_of(waited_for(words)))
            return self._moved(self._node(host).blocked(words, seconds, patience), host)
        except OSError:
            self._owners = []
            raise

    async def ablocked(self, words: tuple[Word, ...], seconds: float, patience: Patience) -> Any:
        """The async twin of `blocked`."""
        try:
            await adrive(self._learned(), lambda errand: self._arun(errand, patience))
            host = self._owner(slot_of(waited_for(words)))
            return self._moved(await self._node(host).ablocked(words, seconds, patience), host)
        except OSError:
            self._owners = []
            raise

    @contextlib.contextmanager
    def subscription(self, channel: bytes) -> Generator[ClusterSubscription]:
        """Listen to *channel* on one node; each hears what is published on any."""
        node = drive(self._node_of(channel), lambda errand: self._run(errand, self.patience()))
        try:
            with node.subscription(channel) as subscription:
                yield ClusterSubscription(self, subscription)
        except OSError:
            self._owners = []
            raise

    @contextlib.asynccontextmanager
    async def asubscription(self, channel: bytes) -> AsyncGenerator[AsyncClusterSubscription]:
        """The async twin of `subscription`."""
        node = await adrive(self._node_of(channel), lambda errand: self._arun(errand, self.patience()))
        try:
            async with node.asubscription(channel) as subscription:
                yield AsyncClusterSubscription(self, subscription)
        except OSError:
            self._owners = []
            raise

    def accepted(self, replies: list[Any]) -> list[Any]:
        """*replies*, if all are answers; see `Engine.accepted`."""
        return self._node(self._known[0]).accepted(replies)

    def patience(self) -> Patience:
        """The tries of one operation that reconnects by itself."""
        return Patience(self._name, self._deadline)

    async def primaries(self) -> dict[str, Engine]:
        """The engine of each node that has slots, by the node's address. Raises `BrokerUnavailable`."""
        patience = self.patience()
        try:
            await adrive(self._learned(), lambda errand: self._arun(errand, patience))
        except OSError as error:
            raise patience.over(error) from error
        hosts = sorted({host for host in self._owners if host is not None})
        return {f"{name}:{port}": self._node((name, port)) for name, port in hosts}

    def close(self) -> None:
        """Close this process's connections that no thread is using."""
        for node in tuple(self._nodes.values()):
            node.close()

    async def aclose(self) -> None:
        """Close the connections of the running loop."""
        for node in tuple(self._nodes.values()):
            await node.aclose()

    def _run(self, errand: Errand, patience: Patience) -> Any:
        host, commands = errand
        if commands is None:
            return ask(self._seed(host), _QUESTION, min(_ASK_SECONDS, patience.left))
        return self._node(host).tried(commands, patience)

    async def _arun(self, errand: Errand, patience: Patience) -> Any:
        host, commands = errand
        if commands is None:
            return await aask(self._seed(host), _QUESTION, min(_ASK_SECONDS, patience.left))
        return await self._node(host).atried(commands, patience)

    def _routed(self, commands: Sequence[Command]) -> Operation[Errand, list[Any]]:
        """The replies to *commands*, each from the node that has its slot."""
        yield from self._learned()
        places: dict[Host, list[int]] = {}
        for place, command in enumerate(commands):
            places.setdefault(self._owner(slot_of(key_of(command))), []).append(place)
        replies: list[Any] = [None] * len(commands)
        for host, ours in places.items():
            for place, reply in zip(ours, (yield host, [commands[place] for place in ours]), strict=True):
                replies[place] = reply
                if isinstance(reply, ReplyError) and (found := redirection(str(reply), host)) is not None:
                    replies[place] = yield from self._redirected(commands[place], found)
        return replies

    def _redirected(self, command: Command, found: Redirection) -> Operation[Errand, Any]:
        """The reply to *command* from where a node says that its slot is now."""
        for _ in range(_HOPS):
            before: list[Command] = []
            if not found.once:
                self._owners, self._known = [], [found.host, *self._known]
                yield from self._learned()
            elif command.script is not None:
                text = self._node(found.host).text(command.script)
                before = [Command(("SCRIPT", "LOAD", text)), Command((b"ASKING",))]
            else:
                before = [Command((b"ASKING",))]
            reply = (yield found.host, [*before, command])[-1]
            further = redirection(str(reply), found.host) if isinstance(reply, ReplyError) else None
            if further is None:
                return reply
            found = further
        raise ConnectionError("the nodes do not agree on who has a slot")

    def _learned(self) -> Operation[Errand, None]:
        """Learn the map of slots, unless it is known, from the first node that answers."""
        failure: OSError | None = None
        for host in () if self._owners else tuple(self._known):
            try:
                reply = yield host, None
            except OSError as error:
                failure = error
            else:
                return self._learn(host, reply)
        if failure is not None:
            raise failure
        return None

    def _learn(self, host: Host, reply: Any) -> None:
        if isinstance(reply, ReplyError):
            raise refusal(str(reply), self._name) from reply
        self._owners = owners(reply, host)
        found = dict.fromkeys(owner for owner in self._owners if owner is not None)
        self._known = list(dict.fromkeys([host, *found, *self._known]))

    def _node_of(self, channel: bytes) -> Operation[Errand, Engine]:
        yield from self._learned()
        return self._node(self._owner(slot_of(channel)))

    async def _popped(self, keys: Sequence[bytes], seconds: float) -> bytes | None:
        patience = self.patience()
        try:
            reply = await self.ablocked(("BLPOP", *keys, max(0.001, seconds)), seconds, patience)
        except OSError as error:
            raise patience.over(error) from error
        if isinstance(reply, ReplyError):
            raise refusal(str(reply), self._name) from reply
        return reply[0] if reply else None

    def _moved(self, reply: Any, host: Host) -> Any:
        """*reply* of *host*. Raises `OSError` if the slot is elsewhere."""
        if isinstance(reply, ReplyError) and redirection(str(reply), host) is not None:
            raise ConnectionError(str(reply))
        return reply

    def _owner(self, slot: int) -> Host:
        host = self._owners[slot] if self._owners else None
        if host is None:
            raise ConnectionError(f"no node has slot {slot}")
        return host

    def _seed(self, host: Host) -> Address:
        return self.address.node(host)

    def _node(self, host: Host) -> Engine:
        node = self._nodes.get(host)
        if node is None:
            node = Engine(self.address.at(host), self._deadline, lambda: self._missed_at(host), self._met)
            node = self._nodes.setdefault(host, node)
        return node

    def _missed_at(self, host: Host) -> list[Command]:
        """What was acknowledged lately for slots that *host* has now."""
        if self._missed is None:
            return []
        return [command for command in self._missed() if self._owner(slot_of(key_of(command))) == host]

    def _answered(self, commands: Sequence[Command], replies: list[Any]) -> list[Any]:
        return self._node(self._known[0]).answered(commands, replies)


class ClusterSubscription:
    """A channel listened to on one node, and commands to any; see `Subscription`."""

    def __init__(self, cluster: ClusterEngine, subscription: Subscription) -> None:
        self._cluster = cluster
        self._subscription = subscription

    def ask(self, question: Sequence[Command] | float) -> Any:
        """See `Subscription.ask`."""
        if isinstance(question, float | int):
            return self._subscription.ask(question)
        self._subscription.ask([_PING])  # from here on we are subscribed
        return self._cluster.call(question)


class AsyncClusterSubscription:
    """The async twin of `ClusterSubscription`."""

    def __init__(self, cluster: ClusterEngine, subscription: AsyncSubscription) -> None:
        self._cluster = cluster
        self._subscription = subscription

    async def ask(self, question: Sequence[Command] | float) -> Any:
        """The async twin of `ClusterSubscription.ask`."""
        if isinstance(question, float | int):
            return await self._subscription.ask(question)
        await self._subscription.ask([_PING])
        return await self._cluster.acall(question)
