"""What the harness asks of a contender's application, read from the environment. Standard library only."""

import os

BROKER = os.environ.get("UMBEL_BENCH_BROKER", "redis://127.0.0.1:6379/0")
"""A ``redis://`` or ``amqp://`` URL, or the path of a SQLite file."""

BACKEND = os.environ.get("UMBEL_BENCH_BACKEND") or BROKER
"""Where results are kept; what `BROKER` says if that can do it."""

RESULTS = os.environ.get("UMBEL_BENCH_RESULTS", "1") == "1"
"""Whether the value of each job is stored."""

ASYNC = os.environ.get("UMBEL_BENCH_KIND", "def") == "async"
"""Whether the no-op task is a coroutine function."""

VARIANT = os.environ.get("UMBEL_BENCH_VARIANT", "")
"""Which of an application's settings to take, for a contender that takes part more than once."""

PROCESSES = int(os.environ.get("UMBEL_BENCH_PROCESSES", "2"))
"""Worker processes that run jobs."""

VALUE = 1
"""What the no-op task returns: not None, which some contenders never store."""
