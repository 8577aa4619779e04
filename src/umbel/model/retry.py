"""The retry policy: what becomes of a delivery whose task raised. Pure: chance is an argument."""

from __future__ import annotations

import msgspec

from umbel.model.failure import Failure
from umbel.model.outcome import Failed, Retried


class RetryPolicy(msgspec.Struct, frozen=True):
    """Celery's retry options of a task; delays in seconds. *max_retries* None: no limit; *backoff* 0: no growth."""

    autoretry_for: tuple[type[BaseException], ...] = ()
    dont_autoretry_for: tuple[type[BaseException], ...] = ()
    max_retries: int | None = 3
    default_delay: float = 180.0
    backoff: float = 0.0
    backoff_max: float = 600.0
    jitter: bool = True

    def retries_on(self, exception: BaseException) -> bool:
        """Tell whether *exception* starts a retry by itself."""
        return isinstance(exception, self.autoretry_for) and not isinstance(exception, self.dont_autoretry_for)

    def delay(self, retries: int, chance: float) -> float:
        """Seconds until the attempt after *retries* earlier ones; *chance* is in [0, 1).

        Source: Celery user guide, "Automatic retry for known exceptions": min(backoff_max, backoff * 2**retries), with
        full jitter a uniform share of that.
        """
        if not self.backoff:
            return self.default_delay
        # 2**64 s is beyond any backoff_max; a job with a million retries must not compute 2**1000000.
        ceiling = min(self.backoff_max, self.backoff * 2.0 ** min(retries, 64))
        return ceiling * chance if self.jitter else ceiling

    def exhausted(self, retries: int, limit: int | None = None) -> bool:
        """Tell whether one more retry after *retries* is over the limit; *limit* beats the policy's own."""
        allowed = limit if limit is not None else self.max_retries
        return allowed is not None and retries >= allowed


def after_failure(  # the five facts that decide it
    policy: RetryPolicy, exception: BaseException, failure: Failure, retries: int, chance: float
) -> Failed | Retried:
    """Decide what becomes of a delivery whose task raised *exception* by itself, without ``self.retry``.

    Delays are seconds, *retries* counts earlier retries, *chance* is in [0, 1). Raises nothing: an exhausted policy is
    `Failed`, and kept as a dead letter.
    """
    # Decided here, not in the broker: a settle that is repeated must carry the same delay.
    if not policy.retries_on(exception):
        return Failed(failure)
    if policy.exhausted(retries):
        return Failed(failure, dead=True)
    return Retried(failure, policy.delay(retries, chance))
