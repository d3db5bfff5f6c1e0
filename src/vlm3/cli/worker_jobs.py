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


def load_for(recipe: WorkerRecipe[Any], settings: Mapping[str, Any]) -> "Predictor":
    """The model of a command's settings, which can do what the recipe needs."""
    from vlm3.infer.generation import require
    from vlm3.infer.loading import load

    predictor = load(**loading(settings))
    require(predictor.protocol, recipe.task)
    return predictor


def facts_of(predictor: "Predictor") -> dict[str, str]:
    """What of a model changes a result."""
    return {
        "model": getattr(predictor.engine, "weights", None) or predictor.engine.name,
        "protocol": predictor.protocol.name,
    }


def made_of(
    recipe: WorkerRecipe[Any], predictor: "Predictor", opened: Callable[[Any], Any], job: WorkerJob
) -> tuple[dict[str, Any] | None, str]:
    """A record, or why the pictures cannot be read; what fails later is raised."""
    try:
        views = opened(job)
    except InputError as error:
        return None, str(error)
    return recipe.make(predictor, job, views), ""
