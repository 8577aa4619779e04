"""What is said of a RabbitMQ server's version."""

from __future__ import annotations

import pytest

from umbel.engines.amqp_connection import refuse_old
from umbel.engines.amqp_health import of_version
from umbel.exceptions import ImproperlyConfigured


def test_a_version_that_will_do_needs_no_advice() -> None:
    (version,) = of_version((3, 10, 8))
    assert (version.value, version.advice) == ("3.10.8", "")


def test_a_version_that_is_too_old_is_called_broken() -> None:
    (version,) = of_version((3, 9, 29))
    assert version.broken
    assert version.advice == "RabbitMQ 3.9.29 is too old: use 3.10 or later"


def test_a_server_that_is_too_old_is_refused() -> None:
    with pytest.raises(ImproperlyConfigured, match=r"RabbitMQ 3\.9\.29 is too old: use 3\.10 or later"):
        refuse_old((3, 9, 29))
    refuse_old((3, 10))
    refuse_old(())


def test_from_the_fourth_on_the_policy_of_old_queues_is_told() -> None:
    version, limit = of_version((4, 1, 0))
    assert version.advice == limit.advice == ""
    assert "rabbitmqctl set_policy" in limit.value


def test_a_server_that_tells_no_version_is_not_blamed() -> None:
    (version,) = of_version(())
    assert (version.broken, version.advice) == (False, "")
