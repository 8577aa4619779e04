"""Live: telling open pages that what they show has changed. They then ask for it anew; nothing else is sent."""
