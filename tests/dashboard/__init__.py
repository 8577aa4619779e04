"""The dashboard: its pages and actions over HTTP, on a real app with a real history."""
