"""Right uses: both type checkers must accept every line."""

from __future__ import annotations

from collections.abc import Coroutine
from datetime import UTC, datetime, timedelta
from typing import Any, assert_type

from umbel import (
    AsyncResult,
    AsyncTask,
    Call,
    Context,
    EagerResult,
    GroupResult,
    Signature,
    Task,
    Umbel,
    chain,
    chord,
    current_app,
    group,
    shared_task,
)
from umbel.result import GroupResult as FromResult

app = Umbel("typing", broker="memory://typing", task_always_eager=True, worker_concurrency=2)


@app.task
def add(x: int, y: int = 0) -> int:
    return x + y


@app.task(
    rate_limit="10/s",
    rate_limit_key="name",
    concurrency_limit=2,
    concurrency_limit_key="name",
    fair_key=lambda call: call["name"],
    unique=timedelta(minutes=1),
    unique_key=("name", "size"),
    on_conflict="raise",
)
def sync(name: str, size: int = 1) -> str:
    return name * size


@app.task(queue="mail", autoretry_for=(OSError,), retry_backoff=True, max_retries=8, time_limit=timedelta(minutes=1))
def greet(name: str, *, loud: bool = False) -> str:
    return name.upper() if loud else name


@app.task
async def fetch(url: str) -> bytes:
    return url.encode()


@app.task(bind=True)
def again(self: Context, attempt: int) -> float:
    if self.request.retries < 2:
        raise self.retry(exc=ValueError(attempt), countdown=1.5, max_retries=3)
    return 0.5


@app.task(bind=True)
async def later(self: Task[..., Any], when: datetime) -> datetime:
    return when


class Counting(Task[..., Any]):
    count = 0

    def on_success(self, retval: Any, task_id: str, args: list[Any], kwargs: dict[str, Any]) -> None:
        self.count += 1


@app.task(bind=True, base=Counting)
def counted(self: Counting, step: int) -> int:
    return self.count + step


@app.task(base=Counting)
def plain(step: int) -> int:
    return step


@shared_task
def shared(x: int) -> list[int]:
    return [x]


@shared_task(bind=True, name="other.name")
async def shared_and_bound(self: Context, x: int) -> str:
    return f"{self.name} {x}"


assert_type(add(1, 2), int)
assert_type(add.delay(1, y=2), AsyncResult[int])
assert_type(add.delay(1).get(timeout=3), int)
assert_type(sync.delay("a", size=2), AsyncResult[str])
assert_type(fetch.delay("u"), AsyncResult[bytes])
assert_type(fetch.delay("u").get(), bytes)
assert_type(greet.delay("a", loud=True), AsyncResult[str])
assert_type(again.delay(1), AsyncResult[float])
assert_type(again(1), float)
assert_type(later.delay(datetime.now(UTC)).get(), datetime)
assert_type(counted.delay(1), AsyncResult[int])
assert_type(plain.delay(1), AsyncResult[int])
assert_type(shared.delay(1).get(), list[int])
assert_type(shared_and_bound.delay(1), AsyncResult[str])
assert_type(add.options(countdown=5, queue="q").delay(1), AsyncResult[int])
assert_type(add.options(priority=3)(1, 2), int)
assert_type(add.apply_async((1, 2), countdown=5, expires=timedelta(hours=1)), AsyncResult[int])
assert_type(add.apply_async((1, 2), retry_policy={"max_retries": 3}), AsyncResult[int])
assert_type(add.apply((1, 2), throw=True), EagerResult[int])
assert_type(add.apply((1, 2)).get(), int)
assert_type(add.call(1, 2), Call[int])
assert_type(add.delay_many([(1, 2), (3, 4)]), list[AsyncResult[int]])
assert_type(add.AsyncResult("id").get(), int)
assert_type(app.AsyncResult("id"), AsyncResult[Any])
assert_type(app.send_task("elsewhere", ("a",), queue="q").get(), Any)
assert_type(app.send_many([add.call(1, 2), fetch.call("u")]), list[AsyncResult[Any]])
assert_type(current_app.main, str | None)
assert_type(add.delay(1).state, str)

assert_type(add.s(1), Signature[int])
assert_type(add.s(1).delay(2).get(), int)
assert_type(add.sig(1, y=2).apply_async(queue="q"), AsyncResult[int])
assert_type(~fetch.sig("u"), bytes)
assert_type(group(add.s(1, 2), add.s(3, 4)).delay(), GroupResult)
assert_type(group([add.s(1, 2)]).apply_async(priority=3).get(timeout=1), list[Any])
assert_type(add.chunks([(1, 2)], 1).delay(), FromResult)
assert_type(add.map([1, 2]).delay().get(), list[Any])
assert_type(chord([add.s(1, 2)], add.s()).delay(), AsyncResult[Any])
assert_type(app.signature("elsewhere", (1,)), Signature[Any])
(add.s(1, 2) | group(add.s(1), add.s(2)) | shared.s()).delay()
chain(add.s(1, 2), add.s(3).set(queue="q")).apply_async(link=add.s(1))
add.apply_async((1, 2), link=add.s(3), link_error=[add.si(1, 2)])
covariant: AsyncResult[object] = add.delay(1)
anything: Task[..., Any] = add
asynchronous: AsyncTask[[str], bytes] = fetch


async def asynchronously() -> None:
    assert_type(await add.adelay(1, 2), AsyncResult[int])
    assert_type(await (await add.adelay(1, 2)), int)
    assert_type(await fetch("u"), bytes)
    making: Coroutine[Any, Any, bytes] = fetch("u")
    assert_type(await making, bytes)
    assert_type(await add.delay(1).aget(timeout=1), int)
    assert_type(await fetch.aapply_async(("u",), eta=datetime.now(UTC)), AsyncResult[bytes])
    assert_type(await fetch.adelay_many([("u",)]), list[AsyncResult[bytes]])
    assert_type(await app.asend_many([add.call(1)]), list[AsyncResult[Any]])
    assert_type(await app.asend_task("elsewhere"), AsyncResult[Any])
    assert_type(await add.s(1).adelay(2), AsyncResult[int])
    assert_type(await (await add.s(1).adelay(2)), int)
    assert_type(await group(add.s(1, 2)).adelay(), GroupResult)
    assert_type(await (await group(add.s(1, 2)).adelay()), list[Any])


app.conf.worker_concurrency = 4
app.conf.update(result_expires=60)
app.conf["task_track_started"] = True
