"""Every task kind by name, in the order of ``sidrec.config.TASKS``.

To add one: its name in that tuple, and one ``TaskSpec`` in a ``tasks_*.py``.
"""

from __future__ import annotations

from types import MappingProxyType
from typing import Final

from sidrec.config import TASKS
from sidrec.converse.spec import TaskSpec
from sidrec.converse.tasks_behaviour import TASKS_BEHAVIOUR
from sidrec.converse.tasks_from_sid import TASKS_FROM_SID
from sidrec.converse.tasks_to_sid import TASKS_TO_SID

_SPECS = sorted((*TASKS_TO_SID, *TASKS_FROM_SID, *TASKS_BEHAVIOUR), key=lambda spec: TASKS.index(spec.name))

TASK_SPECS: Final = MappingProxyType[str, TaskSpec]({spec.name: spec for spec in _SPECS})
