"""Dashboard: what happens to jobs, in a browser, and what can be done about it."""
