"""Execution: from a delivery to its outcome. Knows tasks and values; knows no broker."""
