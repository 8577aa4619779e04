"""A claim is carried out once, or its sender is told that it may have been: sent again it would come too late."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from umbel.claims.redis import operations
from umbel.claims.redis.operations import Calls
from umbel.claims.sql import connect
from umbel.contracts.broker import Beat
from umbel.contracts.claims import Pointer
from umbel.engines.sql import SqlEngine
from umbel.exceptions import BrokerUnavailable
from umbel.settings import Settings


def test_a_claim_is_never_sent_to_redis_again_by_itself() -> None:
    (command,) = next(operations.claim(Calls(b"", None), "session", 1, "queue", [Pointer("job")]))
    assert command.once


async def test_a_claim_whose_transaction_may_have_been_committed_says_that_it_has_no_answer(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    claims = connect(f"db+sqlite:///{tmp_path}/claims.db", Settings(broker_send_deadline=20.0))
    await claims.heartbeat([Beat("session")], ["queue"], 60.0, opening=True)
    run = SqlEngine.run

    def run_again(engine: SqlEngine, step: Callable[..., Any], **how: Any) -> object:
        run(engine, step, **how)
        return run(engine, step, **how)  # the line was lost before the answer to the commit

    with monkeypatch.context() as patched:
        patched.setattr(SqlEngine, "run", run_again)
        with pytest.raises(BrokerUnavailable, match="no answer to a claim"):
            await claims.claim("session", 1, "queue", [Pointer("job")])
    assert await claims.reconcile("session", 2, ["queue"], []) == ["job"]
    answers = await claims.claim("session", 3, "queue", [Pointer("job")])
    assert answers is not None
    assert [each.verdict for each in answers] == ["ours"]
    await claims.aclose()
    claims.close()
