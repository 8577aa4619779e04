"""The processes that meet user code: the forkserver, and its children that receive, run and settle."""
