"""Celery's settings that Umbel does not have: which tune nothing here, which come later, which have another name."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from typing import Any, Final, cast

_MOOT: Final = frozenset(
    [
        "broker_heartbeat",
        "broker_pool_limit",
        "broker_pool_acquire_timeout",
        "redis_max_connections",
        "redis_retry_on_timeout",
        "result_cache_max",
        "task_repr_maxlevels",
        "worker_state_db",
        "broker_channel_error_retry",
        "broker_failover_strategy",
        "broker_heartbeat_checkrate",
        "broker_native_delayed_delivery_queue_type",
        "result_chord_retry_interval",
        "result_chord_join_timeout",
        "result_persistent",
        "result_exchange",
        "result_exchange_type",
        "result_backend_always_retry",
        "result_backend_max_retries",
        "result_backend_max_sleep_between_retries_ms",
        "result_backend_base_sleep_between_retries_ms",
        "task_default_delivery_mode",
        "task_default_queue_type",
        "task_create_missing_queue_type",
        "task_remote_tracebacks",
        "worker_eta_task_limit",
        "worker_enable_prefetch_count_reduction",
        "worker_detect_quorum_queues",
        "worker_lost_wait",
        "worker_pool_putlocks",
        "worker_proc_alive_timeout",
        "worker_timer",
        "worker_timer_precision",
        "worker_consumer",
        "worker_agent",
        "worker_pool_start_method",
        "worker_enable_soft_shutdown_on_idle",
        "enable_utc",
        "beat_scheduler",
        "beat_schedule_filename",
        "beat_enable_remote_control",
        "beat_sync_every",
        "beat_remote_control_max_tick_age",
        "event_queue_prefix",
        "event_queue_ttl",
        "event_queue_expires",
        "event_queue_exclusive",
        "event_queue_durable",
        "event_exchange",
        "control_queue_ttl",
        "control_queue_expires",
        "control_exchange",
        "control_queue_exclusive",
        "control_queue_durable",
    ]
)
_REFUSED: Final = {
    "task_protocol": "Umbel has one protocol: leave it out",
    "broker_transport": "use broker_url",
    "broker_host": "use broker_url",
    "broker_port": "use broker_url",
    "broker_user": "use broker_url",
    "broker_password": "use broker_url",
    "broker_vhost": "use broker_url",
    "broker_login_method": "use broker_url",
    "security_key": "Umbel has no X.509 signatures",
    "security_key_password": "Umbel has no X.509 signatures",
    "security_certificate": "Umbel has no X.509 signatures",
    "security_cert_store": "Umbel has no X.509 signatures",
    "security_digest": "Umbel has no X.509 signatures",
}
_DATA: Final = ("json", "msgpack", "application/json", "application/x-msgpack")
_SERIALIZED: Final = "messages and results are MessagePack, which carries all that JSON does; nothing is pickled"
_TRIED: Final = "a broker that is away is tried again for as long as it takes"
_USUAL: Final[Mapping[str, tuple[Collection[Any], str]]] = {
    "accept_content": (_DATA, _SERIALIZED),
    "result_accept_content": (_DATA, _SERIALIZED),
    "task_serializer": (_DATA, _SERIALIZED),
    "result_serializer": (_DATA, _SERIALIZED),
    "event_serializer": (_DATA, _SERIALIZED),
    "broker_connection_retry": ((True,), _TRIED),
    "broker_connection_retry_on_startup": ((True,), _TRIED),
    "broker_connection_max_retries": ((None, 0), _TRIED),
    "task_acks_late": ((True,), "a job leaves the broker when its outcome is stored, not before"),
    "task_reject_on_worker_lost": ((True,), "a job whose process died runs again, three times at most"),
    "task_acks_on_failure_or_timeout": ((True,), "a job that has failed is over"),
    "task_create_missing_queues": ((True,), "a queue is there as soon as it is named"),
    "task_publish_retry": ((True,), "a send is tried again until broker_send_deadline has passed"),
    "task_inherit_parent_priority": ((False,), "a job has the priority of its call or its task"),
    "task_queue_max_priority": ((9, 10), "a priority is 0-9 in every queue"),
    "worker_prefetch_multiplier": (range(1, 10_001), "a worker takes as many jobs as it has room for"),
    "worker_enable_remote_control": ((True,), "workers can be asked and told"),
    "worker_redirect_stdouts": ((False,), "what a task prints is not touched"),
    "worker_hijack_root_logger": ((False,), "a root logger that your code has configured is left alone"),
    "worker_deduplicate_successful_tasks": ((True,), "a job that has ended does not run again"),
    "worker_cancel_long_running_tasks_on_connection_loss": ((True,), "who has lost a job settles nothing"),
}
"""What Umbel does anyway: which values say just that, and what to tell whoever wants it otherwise."""
_FLAGS: Final = {"true": True, "1": True, "false": False, "0": False}
_LATER: Final = frozenset(
    [
        "broker_read_url",
        "broker_write_url",
        "broker_use_ssl",
        "result_extended",
        "result_compression",
        "result_chord_expires",
        "result_failure_expires",
        "redis_backend_use_ssl",
        "redis_socket_connect_timeout",
        "redis_socket_timeout",
        "redis_socket_keepalive",
        "database_engine_options",
        "database_short_lived_sessions",
        "database_create_tables_at_setup",
        "s3_access_key_id",
        "s3_secret_access_key",
        "s3_bucket",
        "s3_base_path",
        "s3_endpoint_url",
        "s3_region",
        "task_default_exchange",
        "task_default_exchange_type",
        "task_default_routing_key",
        "task_compression",
        "task_store_eager_result",
        "task_acks_on_failure",
        "task_acks_on_timeout",
        "task_retry_on_worker_lost",
        "task_publish_retry_policy",
        "task_allow_error_cb_on_chord_header",
        "worker_disable_prefetch",
        "worker_pool_restarts",
        "worker_log_format",
        "worker_task_log_format",
        "worker_log_datefmt",
        "worker_task_log_datefmt",
        "worker_log_color",
        "worker_redirect_stdouts_level",
        "worker_direct",
        "worker_autoscaler",
    ]
)
PREFIXES: Final = (
    "broker_",
    "result_",
    "task_",
    "worker_",
    "message_",
    "beat_",
    "event_",
    "control_",
    "security_",
    "history_",
    "dashboard_",
)
"""How names of settings begin: other names in a settings module are the module's own."""
_CELERYS: Final = _MOOT | _LATER | _REFUSED.keys() | _USUAL.keys()
_OLD: Final = re.compile(r"(?:umbel|celeryd?|celerybeat)_(?P<name>[a-z_]+)")


def belongs(name: str) -> bool:
    """Whether *name* in a module of settings is meant as one, rather than something of the module's own."""
    return name.startswith(PREFIXES) or name in _CELERYS or _OLD.fullmatch(name.lower()) is not None


def reason(name: str, value: object, known: Collection[str]) -> str | None:
    """Why *value* of the setting *name*, not one of *known*, is refused; None if it is accepted and tunes nothing."""
    if name in _MOOT or (name in _USUAL and _is_usual(name, value)):
        return None
    if name in _USUAL:
        return f"is {value!r}, which is not supported: {_USUAL[name][1]}"
    if name in _LATER:
        return "is not supported yet"
    if name in _REFUSED:
        return f"is not supported: {_REFUSED[name]}"
    import difflib  # only errors need it

    lower = name.lower()
    old = _OLD.fullmatch(lower)
    close = difflib.get_close_matches(lower if old is None else old["name"], [*known, *_LATER], 3, 0.75)
    return "is not a setting" + (f": did you mean {' or '.join(map(repr, close))}?" if close else "")


def _is_usual(name: str, value: object) -> bool:
    """Whether *value* of the setting *name*, perhaps a text of the environment, is what Umbel does anyway."""
    usual = _USUAL[name][0]
    if isinstance(value, list | tuple | set | frozenset):
        return usual is _DATA and all(each in _DATA for each in cast("Collection[object]", value))
    if isinstance(value, str) and usual is not _DATA:
        value = _FLAGS.get(value.lower(), int(value) if value.isdecimal() else value)
    return value in usual
