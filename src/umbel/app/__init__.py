"""The composition root of a client: `Umbel`, its tasks, its settings, its connections, and how it is found by name."""
