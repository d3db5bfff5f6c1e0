"""The tasks by name, in the order of a sample's questions. A new task is a line here."""

from collections.abc import Iterable, Mapping
from types import MappingProxyType

from vlm3.errors import InputError
from vlm3.files.reading import short
from vlm3.tasks.correspondence import CORRESPONDENCE
from vlm3.tasks.depth import DEPTH
from vlm3.tasks.fov import FOV
from vlm3.tasks.objects import OBJECTS
from vlm3.tasks.pose import POSE
from vlm3.tasks.questions import QUESTIONS
from vlm3.tasks.task import Task

TASKS: Mapping[str, Task] = MappingProxyType(
    {task.name: task for task in (DEPTH, OBJECTS, CORRESPONDENCE, POSE, FOV, QUESTIONS)}
)
"""Name -> task."""
LABELLED: tuple[str, ...] = tuple(name for name in TASKS if name != QUESTIONS.name)
"""Those that a sample has labels for."""


def get_task(name: str) -> Task:
    """The task of that name.

    Raises:
        InputError: there is none; the message lists the names.
    """
    if name not in TASKS:
        raise InputError(f"no task is called {short(name)}; choose of {', '.join(TASKS)}")
    return TASKS[name]


def in_order(names: Iterable[str]) -> tuple[Task, ...]:
    """Tasks in the order of `TASKS`.

    Raises:
        InputError: as `get_task`.
    """
    wanted = {get_task(name).name for name in names}
    return tuple(task for name, task in TASKS.items() if name in wanted)


def paired(names: Iterable[str]) -> bool:
    """Whether tasks are about pairs of pictures.

    Raises:
        InputError: as `get_task`; or some are and some are not, which one sample cannot be.
    """
    tasks = in_order(names)
    kinds = {task.pictures for task in tasks}
    if len(kinds) > 1:
        singles = ", ".join(task.name for task in tasks if task.pictures == 1)
        pairs = ", ".join(task.name for task in tasks if task.pictures == 2)
        raise InputError(f"{singles} needs single pictures and {pairs} needs pairs: give two parts")
    return kinds == {2}
