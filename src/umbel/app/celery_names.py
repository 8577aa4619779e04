"""What Celery's app has and this one has not: each name is an error that says what to do instead."""

from __future__ import annotations

from typing import Final, NoReturn, Self, overload

_NO_KOMBU: Final = "Umbel has no kombu: send by delay(), apply_async(), send_task() or send_many()"
_COMMANDS: Final = "workers are started by the command umbel worker, in tests by umbel.testing.worker(app)"
_SIGNALS: Final = "use the signals in umbel.signals"


class Absent:
    """An attribute that raises `AttributeError` with its *cure*, so that ``hasattr`` says that it is not there."""

    def __init__(self, cure: str) -> None:
        """Keep what to do instead."""
        self._cure = cure
        self._name = ""

    def __set_name__(self, owner: type, name: str) -> None:
        self._name = name

    @overload
    def __get__(self, instance: None, owner: type) -> Self: ...
    @overload
    def __get__(self, instance: object, owner: type) -> NoReturn: ...
    def __get__(self, instance: object, owner: type) -> Self:
        """Raise; on the class answer itself."""
        if instance is None:
            return self
        raise AttributeError(f"{self._name} of Celery's app is not supported: {self._cure}")


class CeleryNames:
    """The names of Celery's app that are not supported."""

    amqp = Absent(_NO_KOMBU)
    connection = Absent(_NO_KOMBU)
    connection_for_read = Absent(_NO_KOMBU)
    connection_for_write = Absent(_NO_KOMBU)
    connection_or_acquire = Absent(_NO_KOMBU)
    default_connection = Absent(_NO_KOMBU)
    pool = Absent(_NO_KOMBU)
    producer_pool = Absent(_NO_KOMBU)
    producer_or_acquire = Absent(_NO_KOMBU)
    backend = Absent("ask app.AsyncResult(id) for a result")
    loader = Absent("settings are app.conf, and workers import by app.load_tasks()")
    log = Absent("use umbel.log.get_task_logger, and the signals of logging")
    steps = Absent(_SIGNALS)
    on_configure = Absent("use app.on_after_configure")
    on_after_fork = Absent("use the signal worker_process_init")
    start = Absent(_COMMANDS)
    worker_main = Absent(_COMMANDS)
    Worker = Absent(_COMMANDS)
    WorkController = Absent(_COMMANDS)
    Beat = Absent("every worker sends the jobs of schedules; umbel beat does so alone")
    finalize = Absent("tasks are registered at once: leave it out")
    add_defaults = Absent("use app.conf.update")
    setup_security = Absent("messages are data, and are not signed")
    select_queues = Absent("name queues by -Q or app.control.add_consumer")
    user_options = Absent("the command line takes no options of an app: use environment variables or settings")
    current_task = Absent("use umbel.current_task")
    current_worker_task = Absent("use umbel.current_task")
    timezone = Absent("use app.conf.timezone")
    now = Absent("use datetime.now(UTC)")
    bugreport = Absent("use the command umbel report")
