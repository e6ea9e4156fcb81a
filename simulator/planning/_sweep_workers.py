"""Who answers the points of a sweep: this process, others on this machine, or the workers of a Dask cluster.

All yield answers as they come. Workers that die are replaced and their points asked again; a point that kills its
worker again and again ends the sweep.
"""

import json
import os
import signal
import threading
import time
from collections import Counter, deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import suppress
from multiprocessing import get_context
from typing import Any

from simulator.errors import CommsimError, InfeasibleError, UsageError
from simulator.planning._sweep_questions import Found, Point

Question = Callable[[Point], Found]
Answers = Iterator[tuple[int, str]]  # the number of a point, and its answer as JSON
PREDICTED, REFUSED = "predicted", "refused"
_TRIES = 3  # of a point whose worker died
_AHEAD = 2  # points a worker has in store
_WATCHED_S = 0.5  # between looks at whether the parent still lives


def answered(point: Point, question: Question) -> str:
    """Return the answer to a point as JSON; a point that cannot be is a row that says why."""
    try:
        found = question(point)
    except (UsageError, InfeasibleError) as error:
        rows: list[dict[str, Any]] = [{"status": REFUSED, "reason": error.message}]
        told = {"rows": rows, "warnings": [], "infeasible": isinstance(error, InfeasibleError)}
        return json.dumps(told, allow_nan=False)
    rows = [{"status": PREDICTED, "reason": None} | row for row in found.rows]
    return json.dumps({"rows": rows, "warnings": found.warnings}, allow_nan=False)


def here(points: Sequence[tuple[int, Point]], question: Question) -> Answers:
    """Answer points one after another in this process."""
    for number, point in points:
        yield number, answered(point, question)


def processes(points: Sequence[tuple[int, Point]], question: Question, jobs: int) -> Answers:
    """Answer points in so many processes.

    Raises
    ------
    CommsimError
        What a point raised that is no fault of the point alone.
    UsageError
        A point whose process died again and again.
    """
    left = deque(points)
    tries: Counter[int] = Counter()
    while left:
        pool = ProcessPoolExecutor(
            jobs, mp_context=get_context("spawn"), initializer=_begin, initargs=(question, os.getpid())
        )
        asked: dict[Future[Any], tuple[int, Point]] = {}
        try:
            while left or asked:
                while left and len(asked) < _AHEAD * jobs:
                    number, point = left.popleft()
                    asked[pool.submit(_work, point)] = number, point
                done, _ = wait(asked, return_when=FIRST_COMPLETED)
                for one in done:
                    result = one.result()
                    number, _ = asked.pop(one)
                    yield number, _read(result)
        except BrokenProcessPool:
            for number, point in sorted(asked.values(), key=lambda pair: -pair[0]):
                tries[number] += 1
                if tries[number] >= _TRIES * _AHEAD * jobs:
                    raise UsageError(
                        f"the process of a point died {tries[number]} times, short of memory perhaps: {dict(point)}",
                        where="--jobs",
                        hint="--jobs 1",
                    ) from None
                left.appendleft((number, point))
        finally:
            _end(pool)


def _end(pool: ProcessPoolExecutor) -> None:
    """End all processes of a pool at once: what they had not finished is asked again."""
    for process in list((getattr(pool, "_processes", None) or {}).values()):
        with suppress(OSError):
            process.kill()
    pool.shutdown(wait=True, cancel_futures=True)


_question: list[Question] = []  # of this process, which is a worker


def _begin(question: Question, parent: int) -> None:
    """Make a process a worker: Ctrl-C is for the parent, and without one there is nothing to do."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    _question[:] = [question]
    threading.Thread(target=_watch, args=(parent,), daemon=True).start()


def _watch(parent: int) -> None:
    while os.getppid() == parent:
        time.sleep(_WATCHED_S)
    os._exit(1)


def _work(point: Point) -> "str | CommsimFault":
    return worked(point, _question[0])


CommsimFault = tuple[str, str, str, str]  # kind, message, where, hint


def worked(point: Point, question: Question) -> "str | CommsimFault":
    """Return the answer to a point, or a fault that ends the sweep in a form that travels."""
    try:
        return answered(point, question)
    except CommsimError as error:
        return type(error).__name__, error.message, error.where, error.hint


def _read(result: "str | CommsimFault") -> str:
    if isinstance(result, str):
        return result
    kind, message, where, hint = result
    if kind == "InputError":
        from simulator.errors import InputError

        source, _, said = message.partition(": ")
        raise InputError(source, said, hint=hint)
    raise CommsimError(message, where=where, hint=hint)


def dask(points: Sequence[tuple[int, Point]], question: Question, address: str, product: str) -> Answers:
    """Answer points on the workers of a Dask cluster that runs; those of a worker that dies are asked again.

    Parameters
    ----------
    points : sequence of (int, Point)
        With their numbers.
    question : callable
        What is asked.
    address : str
        Of the scheduler: ``HOST:PORT``.
    product : str
        Hash of this program: workers must run the same.

    Raises
    ------
    UsageError
        The extra is missing, nobody answers, or workers run another version.
    """
    try:
        import distributed
    except ImportError:
        raise UsageError(
            "--executor dask needs the extra 'dask'", where="--executor", hint="pip install 'commsim[dask]'"
        ) from None
    from simulator.planning.store import product_hash

    library: Any = distributed  # typed in part only
    try:
        client = library.Client(address, timeout="8s", set_as_default=False)
    except Exception as error:  # whatever answers there may say anything
        said = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise UsageError(
            f"--executor dask:{address}: no scheduler answers: {said}",
            where="--executor",
            hint="dask scheduler, then --executor dask:HOST:8786",
        ) from None
    try:
        _same(client.run(product_hash), product, address)
        futures = {
            client.submit(worked, dict(point), question, pure=False, retries=_TRIES): number
            for number, point in points
        }
        for future in library.as_completed(list(futures), loop=client.loop):
            yield futures[future], _read(future.result())
            future.release()
    finally:
        client.close(timeout=1)


def _same(found: dict[str, str], product: str, address: str) -> None:
    if not found:
        raise UsageError(
            f"--executor dask:{address}: the scheduler has no workers",
            where="--executor",
            hint=f"dask worker {address}",
        )
    other = [worker for worker, one in found.items() if one != product]
    if other:
        raise UsageError(
            f"--executor dask:{address}: worker {other[0]} runs another version of commsim",
            where="--executor",
            hint="install the same version on every worker",
        )
