"""Chance: what Umbel draws for its own pauses and orders.

The program's `random` stays untouched: a task that has seeded it meets its own sequence, whatever Umbel does meanwhile,
in any thread. The source is the operating system's, so forked children draw differently, too.
"""

from __future__ import annotations

import random as _random
from typing import Final

_SOURCE: Final = _random.SystemRandom()

random: Final = _SOURCE.random
sample: Final = _SOURCE.sample
shuffle: Final = _SOURCE.shuffle
uniform: Final = _SOURCE.uniform
