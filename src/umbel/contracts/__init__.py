"""The seams: what an engine must keep (broker) and what it may offer beside it (powers)."""
