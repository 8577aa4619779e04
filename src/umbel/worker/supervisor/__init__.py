"""The parent of a worker's processes: signals, leases, restarts. It imports no user code."""
