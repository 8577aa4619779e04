"""Plain values: jobs, deliveries, outcomes. No I/O, no clock, no logging."""
