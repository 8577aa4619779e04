"""The names of what spans tell: OpenTelemetry's conventions for messaging, which are not final, so they stand here."""

from __future__ import annotations

from typing import Final

SYSTEM: Final = "messaging.system"
OPERATION: Final = "messaging.operation.name"
OPERATION_TYPE: Final = "messaging.operation.type"
DESTINATION: Final = "messaging.destination.name"
MESSAGE_ID: Final = "messaging.message.id"
CONVERSATION_ID: Final = "messaging.message.conversation_id"
"""The job at whose call the family of a job began."""
CLIENT_ID: Final = "messaging.client.id"
"""The node name of the worker."""
BATCH_COUNT: Final = "messaging.batch.message_count"
ERROR_TYPE: Final = "error.type"

TASK: Final = "umbel.task.name"
ATTEMPT: Final = "umbel.task.attempt"
"""Which run of its job it is, from 1."""
WAIT: Final = "umbel.task.wait"
"""For how many seconds the job had been due when it was started first."""
STATE: Final = "umbel.task.state"
"""How the run ended, in Celery's words."""
FLOW: Final = "umbel.flow.kind"
GROUP: Final = "umbel.group.id"
PARENT: Final = "umbel.parent.id"
SCHEDULE: Final = "umbel.schedule.name"

UMBEL: Final = "umbel"
CREATE: Final = "create"
SEND: Final = "send"
RECEIVE: Final = "receive"
PROCESS: Final = "process"
