"""The simulator as a child process of `tollkeeper demo` that never outlives its parent.

The parent holds the other end of stdin; when it is closed, however the parent ended, the child ends too.
"""

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager

from proxy.core.child_python import child_command, child_environ
from proxy.core.errors import SetupError

_READY = "simulator ready "  # what its ready line begins with; the address follows
_END_S = 5.0


@contextmanager
def simulator() -> Iterator[str]:
    """Run the simulator on a free port; give its address. It is gone when the block ends."""
    child = subprocess.Popen(  # noqa: S603 - constants
        child_command("proxy.cli.simulated", "--friendly"),  # friendly words, none chosen to break parsers
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env=child_environ(),
        start_new_session=True,  # Ctrl-C is for the parent, which ends open requests before it ends this
    )
    try:
        assert child.stdout is not None
        line = child.stdout.readline()
        if not line.startswith(_READY):
            raise SetupError("The simulator did not start; see its output above.")
        yield line.removeprefix(_READY).strip()
    finally:
        _end(child)


def _end(child: "subprocess.Popen[str]") -> None:
    assert child.stdin is not None
    assert child.stdout is not None
    child.stdin.close()
    child.stdout.close()
    child.terminate()
    try:
        child.wait(_END_S)
    except subprocess.TimeoutExpired:
        child.kill()
        child.wait()


def _end_with_parent() -> None:
    sys.stdin.buffer.read()
    os.kill(os.getpid(), signal.SIGTERM)


if __name__ == "__main__":
    from proxy.simulator.__main__ import main

    threading.Thread(target=_end_with_parent, daemon=True).start()
    sys.exit(main())
