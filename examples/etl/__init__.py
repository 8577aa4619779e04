"""Example: orders are read from many files, and a report is written when the last one was."""
