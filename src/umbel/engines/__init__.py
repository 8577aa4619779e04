"""One file a driver: its sync and its async call, reconnection, error translation. Nothing else touches a driver."""
