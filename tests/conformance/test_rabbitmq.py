"""The specification on RabbitMQ with its claims in Redis, but for the sentences that RabbitMQ cannot keep."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from umbel.brokers.rabbitmq import RabbitMQBroker, intake
from umbel.claims.redis import RedisClaims
from umbel.settings import Settings
from umbel.stores.redis import RedisResultStore
from umbel.testing import BrokerConformance, InspectorConformance, RecordConformance


def lacking(*sentences: str) -> Callable[[type], type]:
    """A suite without these *sentences*, each of which it must have had."""

    def cut(suite: type) -> type:
        for sentence in sentences:
            assert callable(getattr(suite, sentence))
            setattr(suite, sentence, None)
        return suite

    return cut


class OnOneServer:
    """Empty servers for each test; every client has connections of its own."""

    url: str
    claims_url: str

    @pytest.fixture(autouse=True)
    def _server(self, rabbitmq_url: str, redis_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
        self.url, self.claims_url = rabbitmq_url, redis_url
        # What a slow machine gave back in the middle of a test would come again in another order.
        monkeypatch.setattr(intake, "IDLE_SECONDS", 1.0)

    def make(self, clock: Callable[[], float]) -> RabbitMQBroker:
        settings = Settings()
        return RabbitMQBroker(self.url, settings, RedisClaims(self.claims_url, settings, clock))

    def make_store(self, clock: Callable[[], float]) -> RedisResultStore:
        return RedisResultStore(self.claims_url, Settings())


# Delays pass on RabbitMQ's clock, which no test moves: test_rabbitmq_engine.py really waits.
@lacking(
    "test_a_batch_may_mix_kinds_and_queues",
    "test_a_delayed_job_comes_exactly_when_it_is_due",
    "test_a_delayed_job_keeps_its_priority",
    "test_a_job_may_be_delayed_for_thirty_days",
    "test_a_job_with_an_eta_comes_exactly_then",
    "test_a_retried_job_comes_back_when_its_delay_is_over",
    "test_a_thousand_jobs_due_at_once_all_come",
    "test_delayed_jobs_come_in_the_order_they_are_due",
    "test_follow_ups_are_created_with_the_settle",
    "test_hostile_ids_survive_a_delay_and_a_lost_session",
)
# Whole seconds are all that a delay can have there.
@lacking(
    "test_a_receiver_that_waits_hears_of_a_delayed_job_that_is_sent",
    "test_a_receiver_that_waits_hears_of_a_retry",
    "test_a_receiver_that_waits_hears_of_an_earlier_due_time",
    "test_a_receiver_wakes_when_a_delayed_job_is_due",
    "test_two_sleepers_and_two_due_times_serve_both",
)
# RabbitMQ makes due jobs ready by itself, and tells nobody when.
@lacking(
    "test_a_call_moves_at_most_two_hundred_due_jobs",
    "test_due_jobs_are_made_ready",
    "test_it_answers_when_the_next_job_is_due",
    "test_the_next_due_time_is_the_first_of_all_queues",
)
# Of two messages with one id the more urgent, or earlier due, is met first; it runs once all the same.
@lacking("test_a_delayed_job_sent_again_keeps_its_first_due_time", "test_an_id_sent_twice_is_kept_once_as_it_was_first")
# What goes back to RabbitMQ comes again soon, but what was waiting there may come before it.
@lacking(
    "test_a_released_job_is_ready_at_the_front_and_charged_nothing",
    "test_a_retry_without_delay_is_ready_at_once_behind_the_others",
    "test_every_job_parked_under_a_name_is_unparked",
    "test_released_jobs_return_to_the_front_in_their_order",
)
# Four classes, not ten.
@lacking("test_ten_priorities_come_from_the_highest_to_the_lowest")
class TestBroker(OnOneServer, BrokerConformance):
    pass


class TestRecords(OnOneServer, RecordConformance):
    pass


# RabbitMQ cannot be asked for one message, nor for the oldest; a queue is known once a worker has served it; and what
# is on its way to a consumer is not counted as ready.
@lacking(
    "test_every_job_is_counted_in_one_place",
    "test_a_job_is_followed_through_its_life",
    "test_a_job_is_not_found_in_another_queue",
    "test_an_unknown_job_has_no_queue",
    "test_queues_are_known_once_something_was_sent_to_them",
    "test_the_oldest_ready_job_is_shown",
)
class TestInspector(OnOneServer, InspectorConformance):
    pass
