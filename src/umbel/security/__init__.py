"""What may be shown, and to whom."""
