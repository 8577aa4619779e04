"""Access: who asks, what he may do, and what is refused before any page or action is reached."""
