"""scripts/mutations: known bugs put in one by one; each must make its tests fail.

Works on copies of the tree in a temporary folder. Exit codes: 0 all caught, 1 one survived, 2 the tests fail without
any bug or a bug does not fit the tree.
"""

import argparse
import contextlib
import queue
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor, as_completed
from pathlib import Path

from tests.mutations.faults import CONTROLS
from tests.mutations.list import MUTATIONS
from tests.mutations.mutation import Mutation, MutationError
from tests.mutations.run import Result, check_clean, copy_tree, try_mutation
from tests.mutations.source_tree import SourceTree


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="scripts/mutations", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--only", action="append", metavar="NAME", help="only this one (may be given several times)")
    parser.add_argument(
        "--faults", action="store_true", help="the bugs of docs/trust/faults.md, a row each, instead of these"
    )
    parser.add_argument("--list", action="store_true", help="print names and what they stand for, run nothing")
    parser.add_argument("--why", action="store_true", help="print what made the tests fail, too")
    parser.add_argument(
        "--jobs", type=int, default=2, help="copies of the tree to work on at once (default %(default)s)"
    )
    arguments = parser.parse_args()
    arguments.bugs = CONTROLS if arguments.faults else MUTATIONS
    names = {mutation.name for mutation in arguments.bugs}
    unknown = [name for name in arguments.only or () if name not in names]
    if unknown:
        parser.error(f"there is no {', '.join(unknown)}; --list shows all")
    if arguments.jobs < 1:
        parser.error("--jobs must be at least 1")
    return arguments


def run_all(mutations: list[Mutation], folder: Path, jobs: int) -> list[Result]:
    """Try them on `jobs` copies; results come in the order of the list, progress as they end."""
    free: queue.SimpleQueue[SourceTree] = queue.SimpleQueue()
    for n in range(min(jobs, len(mutations))):
        root = folder / f"tree{n}"
        root.mkdir()
        free.put(copy_tree(root))
    first = free.get()
    print(f"{len(mutations)} bugs; first the tests without any", flush=True)
    check_clean(first, mutations)
    free.put(first)

    def one(mutation: Mutation) -> Result:
        tree = free.get()
        try:
            return try_mutation(tree, mutation)
        finally:
            free.put(tree)

    results: dict[str, Result] = {}
    with ThreadPoolExecutor(jobs) as pool:
        waiting = [pool.submit(one, mutation) for mutation in mutations]
        try:
            for done in as_completed(waiting):
                result = done.result()
                results[result.mutation.name] = result
                print(f"{len(results):3} of {len(mutations)}  {result.outcome:9} {result.mutation.name}", flush=True)
        except BaseException:
            pool.shutdown(cancel_futures=True)
            raise
    return [results[mutation.name] for mutation in mutations]


def show(results: list[Result], *, why: bool) -> None:
    width = max(len(result.mutation.name) for result in results)
    print()
    for name, outcome, failure in [(r.mutation.name, r.outcome, r.mutation.failure) for r in results]:
        print(f"{outcome:9} {name:{width}}  {failure}")
    for result in results:
        if why and result.outcome == "caught":
            print(f"\n== {result.mutation.name}")
            print("\n".join(line for line in result.output.splitlines() if line.startswith(("E ", "FAILED", "ERROR"))))
        if result.outcome != "caught":
            print(f"\n== {result.mutation.name}: {result.outcome}\n{result.output}")


def main() -> int:
    arguments = parse()
    chosen = [mutation for mutation in arguments.bugs if not arguments.only or mutation.name in arguments.only]
    if arguments.list:
        for mutation in chosen:
            print(f"{mutation.name}\n    {mutation.failure}\n    {' '.join(mutation.tests)}")
        return 0
    begun_s = time.monotonic()
    try:
        with tempfile.TemporaryDirectory(prefix="tollkeeper mutations ") as folder:
            results = run_all(chosen, Path(folder), arguments.jobs)
    except MutationError as error:
        print(f"scripts/mutations: {error}", file=sys.stderr)
        return 2
    show(results, why=arguments.why)
    caught = sum(result.outcome == "caught" for result in results)
    print(f"\n{caught} of {len(results)} caught in {time.monotonic() - begun_s:.0f} s")
    return 0 if caught == len(results) else 1


if __name__ == "__main__":
    with contextlib.suppress(KeyboardInterrupt):
        sys.exit(main())
    sys.exit(130)
