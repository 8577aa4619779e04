"""The time since the run began: before each line of its progress, and against what was granted."""

import time

_began = time.monotonic()


def tell(text: str) -> None:
    """Print *text* after the minutes and seconds that have gone."""
    minutes, seconds = divmod(int(time.monotonic() - _began), 60)
    print(f"{minutes:2}:{seconds:02}  {text}", flush=True)


def minutes() -> float:
    """Minutes that have gone."""
    return (time.monotonic() - _began) / 60
