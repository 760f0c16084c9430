"""python -m tests.storm.later SECONDS ...: tollkeeper on a machine whose clock is so many seconds ahead."""

import sys
import time

from proxy.cli import main
from proxy.core.clock import SystemClock


def run(ahead_s: int) -> None:
    """Run the command line; its process sees no other time."""
    ahead_ms = ahead_s * 1000
    SystemClock.now_ms = lambda _self: time.time_ns() // 1_000_000 + ahead_ms  # type: ignore[method-assign, assignment]
    main()


if __name__ == "__main__":
    seconds = int(sys.argv.pop(1))
    run(seconds)
