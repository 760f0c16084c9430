"""python -m tests.quotas: bursts of requests against limits, in full; the same seed draws the same bursts."""

import argparse
import asyncio
import secrets
import sys
import tempfile
from pathlib import Path

from tests.quotas.bursts import run_bursts


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.quotas", description=__doc__)
    parser.add_argument("--seed", type=int, help="default: a new one, printed")
    parser.add_argument("--bursts", type=int, default=200, help="default %(default)s")
    parser.add_argument("--width", type=int, default=500, help="requests at the same moment (default %(default)s)")
    arguments = parser.parse_args()
    seed = secrets.randbelow(10**6) if arguments.seed is None else arguments.seed
    print(f"seed {seed}, {arguments.bursts} bursts of {arguments.width}")

    def progress(done: int, text: str) -> None:
        print(f"\r{done} of {arguments.bursts} bursts, {text}   ", end="", file=sys.stderr, flush=True)

    with tempfile.TemporaryDirectory() as folder:
        tally = asyncio.run(run_bursts(Path(folder), seed, arguments.bursts, arguments.width, progress))
    print(file=sys.stderr)
    for fault in tally.faults:
        print(f"FAULT {fault}")
    print(
        f"let in {tally.admitted} of {tally.requests}; overspent {tally.overspent_pusd} pico-USD; left set aside"
        f" {tally.reserved_left_pusd}; ledger {tally.ledger_pusd} = books {tally.books_pusd}"
    )
    same = tally.ledger_pusd == tally.books_pusd
    return 0 if same and not (tally.faults or tally.overspent_pusd or tally.reserved_left_pusd) else 1


if __name__ == "__main__":
    sys.exit(main())
