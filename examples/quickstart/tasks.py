"""An app with one task. Jobs and results live in a file beside it; no server is needed."""

from umbel import Umbel

app = Umbel("my_tasks")


@app.task
def add(x: int, y: int) -> int:
    """Add two numbers."""
    return x + y
