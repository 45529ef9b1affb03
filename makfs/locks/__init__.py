"""Who may change or rely on what, now: locks on repository, folders, files, nodes and process resources.

Pure: values in, values out; no clock, task, file or log. A refusal is a value, an event is a return value.
"""

from makfs.locks.address import (
    REPOSITORY,
    BadAddress,
    file_address,
    folder_address,
    lineage,
    node_address,
    resource_address,
)
from makfs.locks.modes import READ, WRITE, Mode
from makfs.locks.rows import BadRows, Row, Rows
from makfs.locks.table import LockTable
from makfs.locks.values import (
    BadClaim,
    Claim,
    Conflict,
    Decision,
    Event,
    Grant,
    NotHeld,
    Wait,
    Waiter,
    What,
)

__all__ = [
    "READ",
    "REPOSITORY",
    "WRITE",
    "BadAddress",
    "BadClaim",
    "BadRows",
    "Claim",
    "Conflict",
    "Decision",
    "Event",
    "Grant",
    "LockTable",
    "Mode",
    "NotHeld",
    "Row",
    "Rows",
    "Wait",
    "Waiter",
    "What",
    "file_address",
    "folder_address",
    "lineage",
    "node_address",
    "resource_address",
]
