"""Share work that needs no other process over all cores; each job draws from a seed of its own."""

import multiprocessing
import os
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass
from typing import Generic, TypeVar

Found = TypeVar("Found")
Say = Callable[[int, str], None]  # done so far, what is going on


@dataclass(frozen=True, slots=True)
class Job:
    """size: what it adds to the progress."""

    seed: int
    size: int


@dataclass(frozen=True, slots=True)
class Shared(Generic[Found]):
    """What the jobs found, in their order; failed: assertions that did not hold."""

    found: list[Found]
    failed: list[str]


def jobs(seed: int, total: int, size: int) -> list[Job]:
    """Split a total into jobs of a size; their seeds are the seed and those after it."""
    return [Job(seed + n, min(size, total - first)) for n, first in enumerate(range(0, total, size))]


def share(work: Callable[[Job], Found], todo: Sequence[Job], say: Say) -> Shared[Found]:
    """Do all jobs, as many at once as there are cores, in processes that have nothing else to do."""
    found: dict[Job, Found] = {}
    failed: list[str] = []
    done = 0
    say(0, "")
    spawned = multiprocessing.get_context("spawn")  # a fork would copy the threads of the progress bar half
    with ProcessPoolExecutor(min(os.cpu_count() or 1, len(todo)), mp_context=spawned) as pool:
        running = {pool.submit(work, job): job for job in todo}
        try:
            for future in as_completed(running):
                job = running[future]
                try:
                    found[job] = future.result()
                except AssertionError as error:
                    failed.append(f"seed {job.seed}: {error!r}")
                done += job.size
                say(done, f"{len(failed)} failed" if failed else "")
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            raise
    return Shared([found[job] for job in todo if job in found], failed)
