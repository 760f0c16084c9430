"""A terminal of 80 columns: commands run in it as a person's do, and what they print is read back."""

import asyncio
import fcntl
import os
import pty
import struct
import sys
import termios
from collections.abc import Mapping
from pathlib import Path

from tests.support.process import clean_environment

COLUMNS = 80


class Terminal:
    """One person's shell in a folder: run() gives what the screen shows."""

    def __init__(self, folder: Path, more: Mapping[str, str] | None = None) -> None:
        self.folder = folder
        self._environment = {
            **clean_environment(folder, more),
            "COLUMNS": str(COLUMNS),
            "TERM": "xterm",
            "NO_COLOR": "1",
        }

    async def run(self, *arguments: str, fails: bool = False) -> str:
        """Run `tollkeeper <arguments>` to its end and return what came on the screen; fails: it has to say no."""
        ours, its = pty.openpty()
        fcntl.ioctl(its, termios.TIOCSWINSZ, struct.pack("HHHH", 24, COLUMNS, 0, 0))
        try:
            child = await asyncio.create_subprocess_exec(
                sys.executable,
                "-m",
                "proxy",
                *arguments,
                cwd=self.folder,
                env=self._environment,
                stdin=asyncio.subprocess.DEVNULL,
                stdout=its,
                stderr=its,
            )
        finally:
            os.close(its)
        reading = asyncio.create_task(asyncio.to_thread(_read_all, ours))
        code = await asyncio.wait_for(child.wait(), 60)
        screen = (await reading).replace("\r\n", "\n")
        assert (code != 0) is fails, f"tollkeeper {' '.join(arguments)} ended with {code}:\n{screen}"
        return screen


def _read_all(descriptor: int) -> str:
    pieces = []
    try:
        while piece := os.read(descriptor, 1 << 16):
            pieces.append(piece)
    except OSError:  # of a terminal whose other side is closed
        pass
    finally:
        os.close(descriptor)
    return b"".join(pieces).decode()
