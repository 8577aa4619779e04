"""Telemetry: what Umbel tells tools for watching: Prometheus (metrics) and OpenTelemetry (tracing)."""
