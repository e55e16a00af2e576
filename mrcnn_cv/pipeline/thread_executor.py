"""The threads of a run: readers, workers that each have nets of their own, and writers; results come in order.

Decoding, inference and writing overlap. OpenCV and numpy let go of Python's lock while they compute, so threads are
enough, and nothing has to be copied between processes.
"""

from __future__ import annotations

import os
import sys
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future
from concurrent.futures import TimeoutError as NotYet
from dataclasses import dataclass
from functools import partial
from itertools import islice
from pathlib import Path
from queue import SimpleQueue
from typing import Any, Generic, TypeVar

from mrcnn_cv.engines import select as backends
from mrcnn_cv.inference.predictor import MaskRCNN
from mrcnn_cv.pipeline.executor import Executor

Taken = TypeVar("Taken")
Read = TypeVar("Read")
Found = TypeVar("Found")
Result = TypeVar("Result")

AUTOTUNE_RESULTS = 6
"""Images per worker that a layout is timed on."""

_LOOK_SECONDS = 1.0
"""Between two looks whether the threads that a result comes from are still there."""

BYTES_PER_THREAD = 72 << 20
"""Address space of a thread on Linux: 8 MiB of stack, and 64 MiB that the allocator reserves for it."""


def address_space_allows(threads: int) -> bool:
    """Whether so many threads fit below `ulimit -v`; beyond it native libraries abort, and Python 3.11 may hang."""
    if sys.platform != "linux":
        return True
    import resource

    limit, statm = resource.getrlimit(resource.RLIMIT_AS)[0], Path("/proc/self/statm")
    if limit == resource.RLIM_INFINITY or not os.path.exists(statm):
        return True
    return threads * BYTES_PER_THREAD <= limit - int(statm.read_text().split()[0]) * resource.getpagesize()


@dataclass(frozen=True)
class WorkerLayout:
    """workers: images in work at the same time. threads: of OpenCV, for each of them."""

    workers: int
    threads: int

    @property
    def helpers(self) -> int:
        """How many readers it has, and how many writers."""
        return min(self.workers, 4)


class ModelPool:
    """Nets for every worker. They are no good for two threads at once, so each worker loads its own."""

    def __init__(self, first: MaskRCNN, load: Callable[[], MaskRCNN]) -> None:
        self._free = [first]
        self._load = load
        self._own = threading.local()
        self._lock = threading.Lock()

    def acquire(self) -> MaskRCNN:
        """The model of the thread that asks."""
        model: MaskRCNN | None = getattr(self._own, "model", None)
        if model is None:
            with self._lock:
                model = self._free.pop() if self._free else None
            # Loading takes a while, and other threads need not wait for it.
            model = self._own.model = model or self._load()
        return model

    def release(self) -> None:
        """The thread that calls needs its model no more; another one may have it."""
        model: MaskRCNN | None = getattr(self._own, "model", None)
        if model is not None:
            self._own.model = None
            with self._lock:
                self._free.append(model)


class _Autotuner:
    """Times layouts by when their results come; the first of each worker does not count: it sets up its nets."""

    def __init__(self) -> None:
        self.fastest: WorkerLayout | None = None
        self.timed = 0
        self.is_lost = False
        self._min_seconds = float("inf")

    def begin(self, layout: WorkerLayout) -> None:
        """From now on the results are those of `layout`."""
        self._layout, self._count, self._start, self.is_lost = layout, 0, 0.0, False

    def saw_one(self) -> None:
        """One more result has come; sets is_lost where an earlier layout turns out to be faster."""
        self._count += 1
        if self._count == self._layout.workers:
            self._start = time.perf_counter()
        if self._count == (AUTOTUNE_RESULTS + 1) * self._layout.workers:
            seconds = (time.perf_counter() - self._start) / (AUTOTUNE_RESULTS * self._layout.workers)
            self.timed += 1
            self.is_lost = seconds >= self._min_seconds
            if not self.is_lost:
                self._min_seconds, self.fastest = seconds, self._layout


@dataclass(frozen=True)
class Stages(Generic[Taken, Read, Found, Result]):
    """What is done with each image: read by a reader, found by a worker with its model, written by a writer.

    track  is done between the last two, in the order of the images, by one thread; None: nothing is
    """

    read: Callable[[Taken], Read]
    find: Callable[[Read, Callable[[], MaskRCNN]], Found]
    write: Callable[[Found], Result]
    track: Callable[[Found], Found] | None = None


class ThreadExecutor(Executor):
    """Tries the layouts in turn, unless there is but one; the fastest goes on."""

    def __init__(self, models: ModelPool, layouts: list[WorkerLayout], ahead: int | None = None) -> None:
        self._models = models
        self._ahead = ahead
        self._is_fitted = False
        self.layouts = layouts
        self.chosen: WorkerLayout | None = layouts[0] if len(layouts) == 1 else None

    def work(
        self, source: Iterator[Taken | None], stages: Stages[Taken, Any, Any, Result], stopped: Callable[[], bool]
    ) -> Iterator[Result]:
        """As every executor's. MemoryError where the limit on the address space leaves no room for any layout."""
        if not self._is_fitted:
            self._leave_out_what_does_not_fit(0 if stages.track is None else 1)
        autotuner = _Autotuner()
        for layout in self.layouts if self.chosen is None else ():
            is_last = layout is self.layouts[-1]
            autotuner.begin(layout)
            # The last layout goes on if it is the fastest: nobody waits for its images to be done first.
            some = source if is_last else islice(source, (AUTOTUNE_RESULTS + 1) * layout.workers)
            for result in self._all(some, stages, layout, lambda: stopped() or autotuner.is_lost):
                autotuner.saw_one()
                yield result
        if autotuner.timed == len(self.layouts):
            self.chosen = autotuner.fastest
        yield from self._all(source, stages, self.chosen or self.layouts[0], stopped)

    def _leave_out_what_does_not_fit(self, trackers: int) -> None:
        """Once: later there are threads of before, whose room is used again."""
        self._is_fitted = True
        self.layouts = [
            each for each in self.layouts if address_space_allows(each.workers + 2 * each.helpers + trackers)
        ]
        if not self.layouts:
            raise MemoryError
        self.chosen = self.layouts[0] if len(self.layouts) == 1 else None

    def _all(
        self,
        source: Iterator[Taken | None],
        stages: Stages[Taken, Any, Any, Result],
        layout: WorkerLayout,
        stopped: Callable[[], bool],
    ) -> Iterator[Result]:
        if layout.threads:
            backends.set_threads(layout.threads)
        readers, writers = (DaemonThreads(name, layout.helpers) for name in ("reader", "writer"))
        workers = DaemonThreads("worker", layout.workers, self._models.release)
        trackers = DaemonThreads("tracker", 0 if stages.track is None else 1)
        all_threads = (readers, workers, trackers, writers)
        # Enough that nobody waits, and few enough that memory stays flat.
        maximum = 2 * layout.workers + 2 if self._ahead is None else self._ahead
        in_work: deque[Future[Result]] = deque()
        wait, ended = True, False
        try:
            while in_work or not (ended or stopped()):
                while len(in_work) < maximum and not (ended or stopped()):
                    try:
                        taken = next(source)
                    except StopIteration:
                        ended = True
                        break
                    if taken is None:
                        break
                    read = readers.submit(partial(stages.read, taken))
                    found = workers.submit(partial(self._find, stages, read))
                    if stages.track is not None:
                        found = trackers.submit(partial(_then, stages.track, found))
                    in_work.append(writers.submit(partial(_then, stages.write, found)))
                if in_work:
                    yield _result(in_work.popleft(), all_threads)
        except (KeyboardInterrupt, _ThreadDied):
            # Whoever asks twice does not want to wait for what OpenCV is at, and threads may wait for one that died.
            wait = False
            raise
        finally:
            for threads in all_threads:
                threads.dismiss(wait)

    def _find(self, stages: Stages[Any, Any, Any, Any], read: Future[Any]) -> Any:
        return stages.find(read.result(), self._models.acquire)


class _ThreadDied(MemoryError):
    """A thread could not even hand on its error: that takes next to nothing, so nothing is left."""


def _result(future: Future[Result], groups: Sequence[DaemonThreads]) -> Result:
    """What comes of a task; _ThreadDied where one of the threads has gone, so that it may never come."""
    while True:
        try:
            return future.result(_LOOK_SECONDS)
        except NotYet:
            # The task itself may have raised it, or have ended in this moment.
            if future.done():
                return future.result()
            if not all(threads.are_alive for threads in groups):
                raise _ThreadDied from None


def _then(act: Callable[[Any], Any], before: Future[Any]) -> Any:
    return act(before.result())


class DaemonThreads:
    """Threads that do what is submitted, in order; unlike an executor's they do not keep the program from ending."""

    def __init__(self, name: str, count: int, last: Callable[[], None] = lambda: None) -> None:
        self._last = last
        self._tasks: SimpleQueue[tuple[Future[Any], Callable[[], Any]] | None] = SimpleQueue()
        self._dismissed = False
        self._threads = [
            threading.Thread(target=self._serve, name=f"{name}-{number}", daemon=True) for number in range(count)
        ]
        for thread in self._threads:
            thread.start()

    @property
    def are_alive(self) -> bool:
        """Whether none has ended."""
        return all(thread.is_alive() for thread in self._threads)

    def submit(self, task: Callable[[], Result]) -> Future[Result]:
        future: Future[Result] = Future()
        self._tasks.put((future, task))
        return future

    def dismiss(self, wait: bool) -> None:
        """Tell the threads to end after what they are at; what else was submitted is given up.

        wait: until they have ended. A program that ends itself while one of them is inside of OpenCV may crash.
        """
        self._dismissed = True
        for _ in self._threads:
            self._tasks.put(None)
        for thread in self._threads if wait else ():
            thread.join()

    def _serve(self) -> None:
        while (task := self._tasks.get()) is not None:
            self._do(*task)
            # What an image holds is not kept until the next one comes.
            del task
        self._last()

    def _do(self, future: Future[Any], act: Callable[[], Any]) -> None:
        if self._dismissed:
            future.cancel()
            return
        try:
            future.set_result(act())
        except BaseException as error:
            future.set_exception(error)


ON_PROCESSORS = frozenset({"cpu", "openvino", "openvino-bf16"})
"""Backends that share the processors out among their workers."""


def layouts_for(workers: int | None, threads: int | None, backend: str, images: int | None) -> list[WorkerLayout]:
    """The layouts to try. workers, threads: None where the user did not say. images: None where nobody knows."""
    processors = threads or backends.available_processors()
    if workers is not None:
        return [WorkerLayout(workers, max(1, processors // workers))]
    one = WorkerLayout(1, threads or 0)
    # How long images take that are still to arrive says nothing about a layout.
    enough = images is not None and images >= 5 * (AUTOTUNE_RESULTS + 1) * (processors + 1)
    if backend not in ON_PROCESSORS or processors < 2 or not enough:
        return [one]
    # Workers of one thread each usually win: tried last, they go on without a stop.
    return [WorkerLayout(1, processors), WorkerLayout(processors, 1)]
