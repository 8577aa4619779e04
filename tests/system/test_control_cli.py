"""The commands of control, in this process: what they print, what they refuse, and that nothing is changed then."""

from __future__ import annotations

import asyncio
import json
import shlex
import sys
import time
from collections.abc import Callable, Iterator
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest

from umbel import AsyncResult, Umbel
from umbel.cli.main import main
from umbel.contracts.broker import Beat
from umbel.execution.executor import Finished
from umbel.execution.verdict import settlement_of
from umbel.model import presence
from umbel.model.failure import capture
from umbel.model.outcome import Failed
from umbel.model.presence import Presence

Run = Callable[..., tuple[int, str, str]]


@pytest.fixture
def app(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Umbel]:
    monkeypatch.setenv("UMBEL_BROKER_URL", f"sqlite:///{tmp_path}/jobs.db")
    made = Umbel("shop", set_as_current=False)
    yield made
    made.close()


MISSPELT = """
from umbel import Umbel

app = Umbel("misspelt", set_as_current=False)


@app.task(name="pay")
def pay() -> None: ...
"""


@pytest.fixture(params=["", "redis", "postgres"])
def engine(request: pytest.FixtureRequest) -> str:
    """The URL of a broker, or "" for an embedded file."""
    return request.param and str(request.getfixturevalue(f"{request.param}_url"))


@pytest.fixture
def umbel(app: Umbel, capsys: pytest.CaptureFixture[str]) -> Run:
    def run(*words: str) -> tuple[int, str, str]:
        code = main([*words, "-b", app.conf.broker_url])
        printed = capsys.readouterr()
        return code, printed.out, printed.err

    return run


def buried(app: Umbel, text: str) -> AsyncResult[Any]:
    """A dead letter that failed with *text*."""
    job = app.send_task("pay", ("acme",))

    async def bury() -> None:
        async with app:
            await app.broker.heartbeat([Beat(job.id)], ["default"], 60, opening=True)
            (delivery,) = await app.broker.receive(job.id, ["default"], 1, wait=0)
            failed = Failed(capture(ValueError(text)), dead=True)
            ended = settlement_of(Finished(delivery, failed, "pay"), "w1@here", time.time(), 60)
            await app.broker.settle(job.id, [ended])

    asyncio.run(bury())
    return job


def test_revoke_ends_what_it_is_given_and_says_where_it_was(app: Umbel, umbel: Run) -> None:
    one, other = app.send_task("pay"), app.send_task("pay", countdown=60)
    assert umbel("revoke", one.id, other.id)[:2] == (0, "1 delayed: revoked\n1 ready: revoked\n")
    assert (one.state, other.state) == ("REVOKED", "REVOKED")
    code, out, _ = umbel("revoke", one.id, "--json")
    assert (code, json.loads(out)[0]["place"]) == (0, "ended")


def test_an_unknown_id_is_2_and_changes_nothing(app: Umbel, umbel: Run) -> None:
    job = app.send_task("pay")
    code, _, err = umbel("revoke", job.id, "stranger")
    assert (code, job.state) == (2, "PENDING")
    assert "no job 'stranger' is known" in err


@pytest.mark.parametrize(
    ("words", "text"),
    [
        (["revoke"], "ids of jobs, or --task"),
        (["revoke", "a", "--task", "pay"], "ids of jobs, or --task"),
        (["revoke", "a", "--signal", "KILL"], "give both"),
        (["revoke", "--task", "pay", "-Q", "typo"], "'typo' is unknown"),
        (["purge", "-Q", "typo"], "'typo' is unknown"),
        (["purge"], "give -f"),
        (["purge", "-f", "-Q", ""], "'' names nothing"),
        (["purge", "-f", "-X", ","], "',' names nothing"),
        (["revoke", "--task", "pay", "-f", "-Q", " "], "' ' names nothing"),
        (["control", "shutdown", "-f", "-d", ""], "'' names nothing"),
        (["dead", "delete", "-f", "-Q", ""], "'' names nothing"),
        (["worker", "-A", "shop", "-Q", ""], "'' names nothing"),
        (["dev", "-A", "shop", "-Q", ","], "',' names nothing"),
        (["revoke", "--task", "pay"], "give -f"),
        (["queues", "pause", "typo"], "'typo' is unknown"),
        (["queues", "purge", "default"], "give -f"),
        (["dead", "show", "stranger"], "no dead letter stranger"),
        (["dead", "retry"], "say which"),
        (["dead", "retry", "stranger"], "no such dead letter: stranger"),
        (["dead", "list", "--since", "sometime"], "no moment"),
        (["dead", "delete", "-f", "--filter", "colour:red"], "there is no field 'colour'"),
        (["control", "shutdown"], "give -f"),
        (["control", "pool_grow", "many"], "takes a number"),
        (["control", "pool_grow", "-1"], "above 0, not '-1'"),
        (["control", "pool_shrink", "0"], "above 0, not '0'"),
        (["control", "add_consumer"], "needs a queue"),
        (["control", "time_limit"], "TASK [SOFT] HARD"),
        (["control", "time_limit", "pay", "soon"], "soon"),
        (["control", "time_limit", "pay", "2", "1"], "more than time_limit"),
        (["control", "time_limit", "pay", "-2"], "-2.0: give more than 0 seconds"),
        (["control", "time_limit", "pay", "1", "2", "3"], "4 words"),
        (["control", "rate_limit", "pay", "-1"], "rate is '-1': give how many"),
        (["control", "rate_limit", "pay", "10/parsec"], "rate is '10/parsec': give how many"),
        (["control", "-1"], "no control command '-1'"),
        (["flows", "retry", "stranger"], "no flow stranger is known"),
        (["inspect", "query_task"], "needs ids"),
        (["inspect", "dance"], "dance"),
        (["inspect", "ping", "me"], "takes any"),
        (["control", "dance"], "dance"),
        (["control", "heartbeat"], "heartbeat is no control command: workers are seen by their leases"),
        (
            ["control", "revoke", "stranger"],
            "revoke is no control command: it is state of the broker, see `umbel revoke`",
        ),
        (["schedules", "pause", "stranger"], "there is no schedule 'stranger'"),
        (["schedules", "add", "a", "pay", "--solar", "sunset"], "--solar is 'sunset': give EVENT,LAT,LON"),
        (["schedules", "add", "a", "pay", "--at", "soon"], "--at is 'soon': give a moment"),
        (["control", "autoscale", "1", "2"], "MAX,MIN"),
        (["control", "autoscale", "2", "-1"], "'2,-1': give MAX,MIN"),
        (["control", "pool_restart", "-t", "-1"], "range x>=0"),
        (["inspect", "ping", "-t", "nan"], "nan is not a finite number"),
        (["dead", "list", "--limit", "-1"], "range x>=1"),
        (["dead", "list", "--reason", ""], "'' says nothing"),
        (["dead", "retry", "--task", "", "--all", "-f"], "'' says nothing"),
        (["list", "--task", " "], "' ' says nothing"),
        (["revoke", "--task", "", "-f"], "'' says nothing"),
        (["revoke", ""], "no job '' is known"),
        (["events", "--kind", "", "-t", "0"], "'' says nothing"),
        (["events", "--kind", "task-faild", "-t", "0"], "did you mean 'task-failed'"),
        (["events", "--kind", "dance", "-t", "0"], "there are task-sent"),
        (["schedules", "run", ""], "there is no schedule ''"),
        (["flows", "show", ""], "no flow  is known"),
    ],
)
def test_what_makes_no_sense_or_needs_consent_is_2_and_changes_nothing(
    app: Umbel, umbel: Run, words: list[str], text: str
) -> None:
    job = app.send_task("pay")
    code, _, err = umbel(*words)
    assert code == 2, err
    assert text in err
    assert (job.state, job.place) == ("PENDING", "ready")


NOBODY_KNOWS = "knows the task 'paj': did you mean 'pay'?"


def test_what_is_misspelt_is_2_and_changes_nothing_on_each_engine(
    engine: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    url = engine or f"sqlite:///{tmp_path}/jobs.db"
    monkeypatch.setenv("UMBEL_BROKER_URL", url)
    monkeypatch.setenv("UMBEL_RESULT_BACKEND", url)
    (tmp_path / "misspelt.py").write_text(MISSPELT)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "misspelt", raising=False)
    app: Umbel = import_module("misspelt").app
    with app:
        job = app.send_task("pay")
        for words, text in (
            ("list -Q nope", "'nope' is unknown"),
            ("list --task paj", NOBODY_KNOWS),
            ("queues pause default nope", "'nope' is unknown"),
            ("queues limits nope", "'nope' is unknown"),
            ("purge -f -X nope", "'nope' is unknown"),
            ("purge -f -Q default,nope", "'nope' is unknown"),
            ("revoke --task paj -f", NOBODY_KNOWS),
            ("revoke --task pay -Q nope -f", "'nope' is unknown"),
            ("revoke nobody", "no job 'nobody' is known"),
            ("result nobody", "nobody is unknown"),
            ("result ''", "'' is no id"),
            ("call ''", "'' cannot name a task"),
            ("call pay --queue ''", "queue is ''"),
            ("dead list -Q nope", "'nope' is unknown"),
            ("dead list --task paj", NOBODY_KNOWS),
            ("dead retry --task paj -f", NOBODY_KNOWS),
            ("dead delete nobody -f", "no such dead letter: nobody"),
            ("dead export --task paj", NOBODY_KNOWS),
            ("flows list -Q nope", "'nope' is unknown"),
            ("flows revoke nobody", "no flow nobody is known"),
            ("inspect query_task nobody", "no job 'nobody' is known"),
            ("schedules remove nope", "there is no schedule 'nope'"),
            ("control rate_limit paj 1/s", "no task 'paj' is registered here: did you mean 'pay'?"),
            ("events -Q nope -t 0", "'nope' is unknown"),
            ("events --task paj -t 0", NOBODY_KNOWS),
            ("list -b ''", "'' says nothing"),
        ):
            code = main([*shlex.split(words), "-A", "misspelt"])
            err = capsys.readouterr().err
            assert (code, text in err) == (2, True), (words, err)
        assert (job.state, job.place, [each.ready for each in app.queues.list()]) == ("PENDING", "ready", [1])


@pytest.mark.parametrize("words", ["inspect ping", "inspect active -j", "control pool_grow 1", "control shutdown -f"])
def test_a_worker_that_is_misspelt_is_told_with_those_that_there_are(app: Umbel, umbel: Run, words: str) -> None:
    info = presence.encode(Presence("w1@host", "host", 7, 8, 1, 1, 0.0, ("default",)))

    async def begin() -> None:
        async with app:
            await app.broker.heartbeat([Beat("session", info)], ["default"], 60, opening=True)

    asyncio.run(begin())
    for given in ("w1", "w1@hots", "w1@host,w1"):
        code, _, err = umbel(*words.split(), "-d", given)
        missing = given.split(",")[-1]
        told = f"no worker {missing} answered; there is w1@host: did you mean w1@host?"
        assert (code, told in err) == (69, True), err


@pytest.mark.parametrize(
    ("words", "power"),
    [
        (["status"], "telling of queues and workers needs a broker that knows who runs a job"),
        (["queues", "list"], "listing queues needs a broker that knows who runs a job"),
        (["list"], "listing jobs needs a broker that shows and stops single jobs"),
        (["dead", "list"], "showing dead letters needs a broker that shows and stops single jobs"),
        (["queues", "limits", "default"], "limiting jobs of default needs a broker that keeps limits"),
        (["inspect", "query_task", "a"], "showing where jobs are needs a broker that carries messages"),
    ],
)
def test_what_an_engine_cannot_tell_is_refused_and_not_told_as_nothing(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], words: list[str], power: str
) -> None:
    monkeypatch.setenv("UMBEL_RESULT_BACKEND", "disabled://")
    assert main([*words, "-b", "amqp://nowhere.invalid/"]) == 2
    assert power in capsys.readouterr().err


def test_purge_counts_what_it_took(app: Umbel, umbel: Run) -> None:
    app.send_task("pay")
    app.send_task("pay", countdown=60)
    app.send_task("mail", queue="mails")
    assert umbel("purge", "-f")[:2] == (0, "default: 2\n")
    assert json.loads(umbel("purge", "-f", "-Q", "mails", "--json")[1]) == {"mails": 1}


def test_all_jobs_of_a_task_are_revoked(app: Umbel, umbel: Run) -> None:
    pay, mail = app.send_task("pay"), app.send_task("mail")
    assert umbel("revoke", "--task", "pay", "-f")[:2] == (0, "1 ready: revoked\n")
    assert (pay.state, mail.state) == ("REVOKED", "PENDING")


def test_queues_are_shown_paused_and_resumed(app: Umbel, umbel: Run) -> None:
    app.send_task("pay")
    assert umbel("queues", "pause", "default")[0] == 0
    assert json.loads(umbel("queues", "list", "-j")[1])[0] == {
        "queue": "default", "ready": 1, "delayed": 0, "held": 0, "running": 0, "parked": 0, "dead": 0, "paused": True
    }  # fmt: skip
    assert umbel("queues", "resume", "default")[0] == 0
    assert "paused" not in umbel("queues", "list")[1]


def test_jobs_are_listed_by_state_and_task(app: Umbel, umbel: Run) -> None:
    app.send_task("pay", ("acme",), {"cents": 5})
    later = app.send_task("mail", countdown=60)
    assert "pay('acme', cents=5)" in umbel("list")[1]
    found = json.loads(umbel("list", "--state", "delayed", "--task", "mail", "--json")[1])
    assert [(job["id"], job["place"]) for job in found] == [(later.id, "delayed")]


def test_dead_letters_are_shown_retried_deleted_and_exported(app: Umbel, umbel: Run) -> None:
    card, mail = buried(app, "no such card"), buried(app, "no such mail")
    assert "ValueError: no such card" in umbel("dead", "list")[1]
    assert "attempts  1" in umbel("dead", "show", card.id)[1]
    lines = umbel("dead", "export")[1].splitlines()
    assert {json.loads(line)["id"] for line in lines} == {card.id, mail.id}
    assert umbel("dead", "list", "--filter", "error:ValueError card")[1].count(card.id) == 1
    assert mail.id not in umbel("dead", "list", "--filter", "error:ValueError card")[1]
    _, out, err = umbel("dead", "retry", "--reason", "card", "--dry-run")
    assert (card.id in out, "nothing was changed" in err, card.place) == (True, True, "dead")
    assert umbel("dead", "retry", "--reason", "card", "-f")[:2] == (0, f"{card.id}\n")
    assert umbel("dead", "delete", mail.id, "-f", "--json")[:2] == (0, f'["{mail.id}"]\n')
    assert (card.place, json.loads(umbel("dead", "list", "--json")[1])) == ("ready", [])


@pytest.mark.parametrize("words", [["inspect", "ping"], ["inspect", "active", "-j"], ["control", "pool_grow", "1"]])
def test_it_is_69_when_nobody_answers(umbel: Run, words: list[str]) -> None:
    code, _, err = umbel(*words)
    assert (code, err) == (69, "Error: no worker answered\n")
