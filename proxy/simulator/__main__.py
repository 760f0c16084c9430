"""``python -m proxy.simulator``: the simulator as a process of its own, until SIGTERM or SIGINT."""

import argparse
import asyncio
import contextlib
import signal
import sys

from proxy.simulator.server import Simulator


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m proxy.simulator", description=__doc__)
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=0, help="0 takes a free one, shown when ready")
    parser.add_argument("--pace-ms", type=int, default=0, help="pause before each streamed chunk")
    parser.add_argument(
        "--friendly", action="store_true", help="greet, in place of words that are made to break things"
    )
    parser.add_argument("--seed", type=int, default=None, help="text and ids follow from it")
    return parser.parse_args()


async def _run(arguments: argparse.Namespace) -> int:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        # Windows' loops know no signal handlers; Ctrl-C arrives as KeyboardInterrupt there
        with contextlib.suppress(NotImplementedError):
            loop.add_signal_handler(number, stop.set)
    simulator = Simulator(seed=arguments.seed, pace_ms=arguments.pace_ms, friendly=arguments.friendly)
    try:
        await simulator.start(arguments.host, arguments.port)
    except OSError as error:
        sys.stderr.write(f"the simulator cannot listen on {arguments.host}:{arguments.port}: {error.strerror}\n")
        return 3
    sys.stdout.write(f"simulator ready {simulator.url}\n")
    sys.stdout.flush()
    try:
        await stop.wait()
    finally:
        await simulator.close()
    return 0


def main() -> int:
    arguments = _arguments()
    if sys.platform == "win32":
        return asyncio.run(_run(arguments))
    import uvloop  # noqa: PLC0415  # not there on Windows

    return uvloop.run(_run(arguments))


if __name__ == "__main__":
    with contextlib.suppress(KeyboardInterrupt):
        sys.exit(main())
