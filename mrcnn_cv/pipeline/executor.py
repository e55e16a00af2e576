"""What takes the images of a run through its steps: threads of this process, or whatever a plug-in brings."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any, TypeVar

from mrcnn_cv.util.registry import Registry, lacks

if TYPE_CHECKING:
    from mrcnn_cv.pipeline.thread_executor import ModelPool, Stages, WorkerLayout

Taken = TypeVar("Taken")
Result = TypeVar("Result")


class Executor(ABC):
    """Made once for a run, or for several one after the other.

    models   nets for every worker: `models.acquire()` are those of the thread that asks
    layouts  the ways to work that fit this machine and what the user asked for, at least one
    ahead    how many images may be in work at a time; None: enough that nobody waits
    """

    @abstractmethod
    def __init__(self, models: ModelPool, layouts: list[WorkerLayout], ahead: int | None = None) -> None: ...

    @abstractmethod
    def work(
        self, source: Iterator[Taken | None], stages: Stages[Taken, Any, Any, Result], stopped: Callable[[], bool]
    ) -> Iterator[Result]:
        """The results for `source`, in its order: `read`, `find`, `track` if there is one, and `write` of each.

        Only `track` needs the order of the images, and one caller at a time. Images are taken from the source as
        they are needed, by one thread at a time, and never a number that grows with the source. A source that gives
        None has nothing at the moment, and is asked again. When `stopped` says so, nothing new is taken, and what was
        taken is finished. What a step raises is raised here, in the place of that image's result, and ends the work;
        then, and where the caller closes the iterator, no step is at work any more.
        """


EXECUTORS: Registry[type[Executor]] = Registry(
    "executor", "mrcnn_cv.executors", {"threads": "mrcnn_cv.pipeline.thread_executor:ThreadExecutor"}, lacks("work")
)
"""A new executor is a file and a row here, or an entry point `mrcnn_cv.executors` of an installed package."""


def make_executor(
    models: ModelPool, layouts: list[WorkerLayout], ahead: int | None = None, name: str = "threads"
) -> Executor:
    """The executor of that name. UsageError for a name that nobody has, PluginError for one that cannot be used."""
    made: Executor = EXECUTORS.create(name, models, layouts, ahead)
    return made
