import pytest

from umbel.brokers.rabbitmq import names, posts
from umbel.brokers.rabbitmq.posts import Post, Tag
from umbel.contracts.broker import Settlement
from umbel.engines.amqp_frames import Message, Properties
from umbel.engines.amqp_letter import copied
from umbel.exceptions import BrokerError
from umbel.model.job import Counts, Delivery, Job

DELIVERY = Delivery("id", "queue", 4, 1, b"envelope")


def message(properties: Properties, body: bytes = b"body") -> Message:
    return Message("consumer", 1, redelivered=False, properties=properties, body=body)


@pytest.mark.parametrize(("priority", "rank"), [(9, 0), (8, 0), (7, 0), (6, 1), (4, 1), (3, 2), (1, 2), (0, 3)])
def test_ten_priorities_share_four_classes(priority: int, rank: int) -> None:
    assert names.class_of(9 - priority) == rank


def test_a_job_that_is_not_delayed_goes_straight_to_its_queue() -> None:
    assert names.route("a.b", 2, 0) == ("", "umbel.a.b.c2")


@pytest.mark.parametrize("seconds", [1, 2, 3, 5, 3600, 30 * 86_400, names.MAX_DELAY_SECONDS])
def test_the_rungs_of_a_delay_add_up_to_it(seconds: int) -> None:
    exchange, key = names.route("q", 3, seconds)
    bits = key.split(".")[: names.RUNGS]
    assert int("".join(bits), 2) == seconds == sum(2**rung for rung in names.rungs(seconds))
    assert exchange == names.delay(max(names.rungs(seconds)))
    assert key.endswith(".q.c3")


def test_patterns_look_at_the_bit_of_their_rung() -> None:
    for exchange, below, pattern in names.links():
        rung = int(exchange.rpartition(".")[2])
        assert below == names.delay(rung - 1)
        assert pattern.split(".").index("0") == names.RUNGS - 1 - rung
        assert names.onto(rung).split(".").index("1") == names.RUNGS - 1 - rung
    assert names.delay(-1) == names.READY


def test_delays_are_rounded_up_to_whole_seconds() -> None:
    letter = posts.letter(posts.follow_up(Job("id", "q", b"", delay=0.2)))
    assert letter.route == names.route("q", 3, 1)


def test_a_delay_beyond_the_ladder_is_refused() -> None:
    with pytest.raises(BrokerError, match="8 years"):
        posts.letter(Post("id", "q", 9, delay=2.0**28))


def test_a_message_tells_what_its_letter_said() -> None:
    letter = posts.letter(Post("id", "q", 4, generation=3, put_off=2, envelope=b"body"))
    arrived = message(letter.properties, letter.body)
    assert posts.tag_of(arrived) == Tag("id", 3, copy=True, put_off=2)
    assert posts.level_of(arrived) == 4


def test_the_first_message_of_a_job_says_nothing_of_generations() -> None:
    letter = posts.letter(posts.follow_up(Job("id", "q", b"body", priority=9)))
    assert letter.properties == Properties("id", priority=9)
    assert posts.tag_of(message(letter.properties)) == Tag("id")


def test_a_foreign_message_gets_an_id_of_its_content() -> None:
    first = posts.tag_of(message(Properties(), b"1"))
    assert first == posts.tag_of(message(Properties(priority=3), b"1"))
    assert first.id != posts.tag_of(message(Properties(), b"2")).id


@pytest.mark.parametrize("kind", ["x", "+", "1+x", "-1", "²"])
def test_a_strange_type_is_taken_for_none(kind: str) -> None:
    assert posts.tag_of(message(Properties("id", kind))).generation in (0, 1)


def test_an_end_leaves_its_follow_ups_alone() -> None:
    settlement = Settlement(DELIVERY, "end", follow_ups=(Job("next", "other", b"1", delay=3.0),))
    assert posts.posts_of(settlement, 2) == [Post("next", "other", 9, delay=3.0, envelope=b"1")]


def test_a_retry_publishes_the_next_generation() -> None:
    settlement = Settlement(DELIVERY, "retry", delay=5.0, counts=Counts(1), envelope=b"new")
    assert posts.posts_of(settlement, 2) == [
        Post("id", "queue", 4, generation=3, delay=5.0, envelope=b"new", counts=":1:0:0")
    ]


def test_parked_and_dead_jobs_have_queues_of_their_own() -> None:
    (parked,) = posts.posts_of(Settlement(DELIVERY, "park", task="task"), 0)
    (dead,) = posts.posts_of(Settlement(DELIVERY, "dead"), 0)
    assert posts.letter(parked).route == ("", "umbel.queue.parked")
    assert posts.letter(parked).properties.correlation == "task"
    assert posts.letter(dead, b"envelope").body == b"envelope"


def test_a_release_publishes_nothing() -> None:
    assert posts.posts_of(Settlement(DELIVERY, "release"), 0) == []


def test_posts_survive_the_store() -> None:
    left = [Post("id", "q", 4, "parked", 2, 1.5, "task", b"\x00\xff")]
    assert posts.unpack(posts.pack(left)) == left


def test_a_long_task_name_is_cut_between_characters() -> None:
    assert posts.short("☃" * 100) == "☃" * 85


@pytest.mark.parametrize("counts", [Counts(), Counts(retries=1), Counts(2, 3, 4), Counts(crashes=1, marked=True)])
@pytest.mark.parametrize(("generation", "put_off"), [(0, 0), (7, 0), (0, 2), (7, 2)])
def test_a_message_tells_what_happened_to_its_job(counts: Counts, generation: int, put_off: int) -> None:
    post = Post("id", "q", 4, generation=generation, put_off=put_off, counts=posts.written(counts))
    for letter in (posts.letter(post), copied(posts.letter(post))):
        tag = posts.tag_of(message(letter.properties))
        assert (tag.generation, tag.put_off, tag.counts) == (generation, put_off, counts)


@pytest.mark.parametrize("text", ["x", "1:2", "1:a:b:c", "::::", "1:2:3:4:5:6"])
def test_a_type_that_others_wrote_is_no_error(text: str) -> None:
    assert posts.tag_of(message(Properties("id", text))).id == "id"
