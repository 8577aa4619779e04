"""The scheduler: computes ticks, and has the engine make each of them a job once. Every worker runs one."""
