"""Actions: one file for each noun that something can be done to."""
