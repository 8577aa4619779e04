"""The worker: a supervisor without user code, and children that receive, run and settle."""
