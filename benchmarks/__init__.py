"""Umbel beside its peers: every contender in turns on one private Redis, in one run. Start it with ``make bench``."""
