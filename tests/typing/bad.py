"""Wrong uses: both type checkers must flag every line that ends in `# E`, and no other."""

from __future__ import annotations

from umbel import AsyncResult, Context, Umbel, shared_task

app = Umbel("typing", broker="memory://typing")


@app.task
def add(x: int, y: int) -> int:
    return x + y


@app.task(queue="mail")
def greet(name: str, *, loud: bool = False) -> str:
    return name.upper() if loud else name


@app.task
async def fetch(url: str) -> bytes:
    return url.encode()


@app.task(bind=True)
def again(self: Context, attempt: int) -> float:
    raise self.retry(countdwn=3)  # E


@shared_task
def shared(x: int) -> list[int]:
    return [x]


add.delay("a", 2)  # E
add.sig("a", 2)  # E
add.sig(1)  # E
add.s(1, 2).apply_async(queu="q")  # E
add.delay(1)  # E
add.delay(1, 2, 3)  # E
add.delay(1, z=2)  # E
add(1, "b")  # E
greet.delay("a", True)  # E
greet.delay("a", loud="yes")  # E
fetch.delay(1)  # E
again.delay("one")  # E
again.delay(again, 1)  # E
shared.delay("x")  # E
add.call("a", 2)  # E
add.options(countdwon=5)  # E
add.options(queue="q").delay("a", 2)  # E
add.options(priority="high")  # E
add.apply_async((1, 2), countdwon=5)  # E
add.apply_async((1, 2), queue=3)  # E
add.apply_async((1, 2), retry_policy={"max_retrys": 3})  # E
add.delay(1, 2).get(timeout="3")  # E
text: str = add.delay(1, 2).get()  # E
wrong: AsyncResult[str] = add.delay(1, 2)  # E
number: int = fetch("u")  # E
app.task(queu="mail")  # E
app.task(max_retries="3")  # E
app.conf.worker_concurency = 4  # E
app.conf.worker_concurrency = "4"  # E
Umbel("typing", worker_concurency=4)  # E
app.send_task("elsewhere", queue=3)  # E


async def asynchronously() -> None:
    await add.adelay("a", 2)  # E
    other: str = await (await add.adelay(1, 2))  # E
    await fetch.aapply_async(("u",), countdwn=1)  # E
    print(other)
