"""What a worker does: one job at a time, by a recipe, with a model. Knows no process."""

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol, TypeVar

from vlm3.cli.loading_options import loading
from vlm3.errors import InputError

if TYPE_CHECKING:
    from vlm3.infer.predictor import Predictor
    from vlm3.tasks.base import TaskName


class WorkerJob(Protocol):
    """One result to come: a plain value, as it may go to another process.

    Attributes:
        name: of its files, without ending; no two jobs share one.
        content: digest of the pictures it is made from.
    """

    @property
    def name(self) -> str:
        """See the class."""

    @property
    def content(self) -> str:
        """See the class."""


AnyJob = TypeVar("AnyJob", bound=WorkerJob, contravariant=True)


class WorkerRecipe(Protocol[AnyJob]):
    """What is made of every job: a plain value, too.

    Attributes:
        task: what the protocol must have.
    """

    @property
    def task(self) -> "TaskName":
        """See the class."""

    def opener(self) -> Callable[[AnyJob], Any]:
        """A function that opens a job's pictures; InputError where they cannot be read."""

    def make(self, predictor: "Predictor", job: AnyJob, opened: Any) -> dict[str, Any]:
        """Answers one input, writes each file whole or not at all; the manifest's entry."""


class WorkerOutcome(NamedTuple):
    """What came of a job: a record, or why its pictures cannot be read."""

    number: int
    record: dict[str, Any] | None
    problem: str


class Worker:
    """A model and a recipe, ready to make one result a job.

    Args:
        recipe: what is made.
        settings: of the command: which model.

    Attributes:
        facts: what of the model changes a result.

    Raises:
        InputError: the model cannot be loaded, or cannot do what the recipe needs.
    """

    def __init__(self, recipe: WorkerRecipe[Any], settings: Mapping[str, Any]) -> None:
        from vlm3.infer.generation import require
        from vlm3.infer.loading import load

        self._recipe = recipe
        self._predictor = load(**loading(settings))
        require(self._predictor.protocol, recipe.task)
        engine = self._predictor.engine
        self.facts: dict[str, str] = {
            "model": getattr(engine, "weights", None) or engine.name,
            "protocol": self._predictor.protocol.name,
        }
        self._open = recipe.opener()

    def make(self, job: WorkerJob) -> tuple[dict[str, Any] | None, str]:
        """A record, or why the pictures cannot be read; what fails later is raised."""
        try:
            opened = self._open(job)
        except InputError as error:
            return None, str(error)
        return self._recipe.make(self._predictor, job, opened), ""
