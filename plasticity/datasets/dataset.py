"""The base class of data sets: the shape of the examples, an objective, and a stream of tasks for each seed."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Protocol, Self

from plasticity.datasets.task import Task
from plasticity.errors import ConfigError
from plasticity.objectives import Objective
from plasticity.part import Part, integer


class Stream(Protocol):
    """The tasks of one seed."""

    def task(self, number: int) -> Task:
        """Task `number`, from 0; it does not depend on which tasks were requested before."""


@dataclass(frozen=True, kw_only=True)
class Dataset(Part):
    """A stream of tasks.

    A subclass defines the first five of the following as fields, properties or class attributes, as suits it.

    Attributes:
        inputs: number of inputs of an example.
        outputs: number of classes, or of values to predict.
        objective: what is minimised, and what the score is.
        tasks: number of tasks of a run.
        examples_per_task: number of examples of each task.
        tasks_per_record: number of tasks that a row of the results covers.
        batch_size: number of examples per step; the gradient is averaged over them.
        permutes: whether its tasks permute the inputs.
    """

    if TYPE_CHECKING:

        @property
        def inputs(self) -> int: ...

        @property
        def outputs(self) -> int: ...

        @property
        def objective(self) -> Objective: ...

        @property
        def tasks(self) -> int: ...

        @property
        def examples_per_task(self) -> int: ...

    permutes: ClassVar[bool] = False

    batch_size: int = integer(1, at_least=1)

    @property
    def shape(self) -> tuple[int, ...]:
        """The shape of an example's inputs: [inputs], or [channels, height, width] for images."""
        return (self.inputs,)

    @property
    def tasks_per_record(self) -> int:
        """1, unless a data set's tasks are too short for a row each."""
        return 1

    @property
    def records(self) -> int:
        """Number of rows of a run's results."""
        return self.tasks // self.tasks_per_record

    @property
    def steps_per_task(self) -> int:
        """Number of training steps of a task."""
        return self.examples_per_task // self.batch_size

    def held(self) -> dict[str, Part]:
        return super().held() | {"objective": self.objective}

    def prepare(self, root: str | None) -> None:
        """Makes sure that the data is on this machine; called before a launch starts.

        Args:
            root: where data sets are kept; None for the usual place.

        Raises:
            UserError: when the data cannot be obtained.
        """

    def open(self, seed: int, root: str | None) -> Stream:
        """The stream of tasks of a seed."""
        raise NotImplementedError

    def canonical(self, run: Any) -> Self:
        if self.examples_per_task % self.batch_size:
            valid = f"a divisor of dataset.examples_per_task={self.examples_per_task}"
            raise ConfigError("dataset.batch_size", self.batch_size, valid)
        if self.tasks % self.tasks_per_record:
            raise ConfigError(
                "dataset.tasks", self.tasks, f"a multiple of {self.tasks_per_record}, a row's tasks"
            )
        return self


def prepare_data(datasets: Iterable[Dataset], root: str | None) -> None:
    """Makes sure that the data of all of them is on this machine; see `Dataset.prepare`."""
    for dataset in dict.fromkeys(datasets):
        dataset.prepare(root)
