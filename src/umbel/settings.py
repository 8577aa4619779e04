"""Settings: one typed struct with Celery's names and units; every unknown or ill-typed key is refused."""

from __future__ import annotations

import msgspec


class Settings(msgspec.Struct, kw_only=True):
    """All settings of an app. Durations are seconds."""

    broker_url: str = ""
    result_backend: str = ""
    broker_connection_timeout: float = 4.0
    broker_send_deadline: float = 5.0
    result_expires: float = 86_400.0
    task_default_queue: str = "default"
    task_default_priority: int = 0
    task_ignore_result: bool = False
    task_store_errors_even_if_ignored: bool = False
    task_track_started: bool = False
    task_always_eager: bool = False
    task_eager_propagates: bool = False
    task_soft_time_limit: float | None = None
    task_time_limit: float | None = None
    imports: tuple[str, ...] = ()
    message_max_bytes: int = 1024 * 1024
    message_max_depth: int = 64
    worker_pool: str = "prefork"
    worker_concurrency: int | None = None
    worker_processes: int | None = None
    worker_threads: int | None = None
    worker_async_concurrency: int = 100
    worker_lease: float = 15.0
    worker_max_crashes: int = 3
    worker_soft_shutdown_timeout: float = 25.0
