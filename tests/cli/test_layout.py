"""No figure is ever cut or broken, however narrow the terminal; texts are wrapped and nothing of them is lost."""

import fcntl
import os
import pty
import re
import struct
import subprocess
import sys
import termios
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.cli.layout import as_list, as_table, cells
from tests.cli.command_line import ROOT

WIDTHS = (20, 40, 60, 80, 100, 120, 200)
HEAD = ("user", "model", "requests", "errors", "input_tokens", "output_tokens", "cost_usd")
RIGHT = [name not in ("user", "model") for name in HEAD]
ROWS: list[tuple[str, ...]] = [
    ("anna", "openai/gpt-4o", "3", "0", "3", "48", "0.0004875"),
    ("anna-of-the-far-north", "anthropic/claude-haiku-4.5-20251001", "4", "0", "123 456 789", "64", "0.000324"),
    ("学生", "qwen/通义千问", "12 345", "16", "27", "434", "1234.001460123456"),
    ("total", "", "12 352", "16", "123 456 819", "546", "1234.002271623456"),
]
NUMBERS = {cell for row in ROWS for cell in row[2:]}


def laid_out(rows: list[tuple[str, ...]], width: int) -> list[str]:
    table = as_table([HEAD, *rows], RIGHT, RIGHT, width)
    return as_list([HEAD, *rows], width) if table is None else table


@pytest.mark.parametrize("width", WIDTHS)
def test_figures_stay_whole(width: int) -> None:
    lines = laid_out(ROWS, width)
    text = "\n".join(lines)
    for number in NUMBERS:
        assert re.search(rf"(?<![\d.]){re.escape(number)}(?![\d.])", text), (width, number)
    assert all(cells(line) <= width for line in lines)


def test_what_fits_stays_a_table_and_what_does_not_becomes_a_list() -> None:
    assert as_table([HEAD, *ROWS], RIGHT, RIGHT, 120) is not None
    assert as_table([HEAD, *ROWS], RIGHT, RIGHT, 80) is not None
    assert as_table([HEAD, *ROWS], RIGHT, RIGHT, 40) is None
    assert laid_out(ROWS, 40)[:3] == ["user           anna", "model          openai/gpt-4o", "requests       3"]


NUMBER = st.decimals(min_value=0, max_value=10**9, places=12, allow_nan=False).map(lambda n: f"{n:f}")
TEXT = st.text(st.characters(categories=("L", "N", "P")), max_size=60)


@given(st.lists(st.tuples(TEXT, TEXT, *[NUMBER] * 5), min_size=1, max_size=5), st.integers(30, 200))
def test_nothing_is_lost(rows: list[tuple[str, ...]], width: int) -> None:
    lines = laid_out(rows, width)
    assert all(cells(line) <= width for line in lines)
    squeezed = "".join("".join(lines).split())
    for row in rows:
        for number in row[2:]:
            assert number in squeezed
    held = sorted(char for line in lines for char in line if not char.isspace())
    is_list = as_table([HEAD, *rows], RIGHT, RIGHT, width) is None
    wanted = [*HEAD, *(cell for row in rows for cell in row)]
    if is_list:
        wanted = [text for row in rows for name, cell in zip(HEAD, row, strict=True) if cell for text in (name, cell)]
    assert held == sorted(char for text in wanted for char in text if not char.isspace())


def on_terminal(folder: Path, columns: int, code: str) -> str:
    """Run code that prints on a terminal of so many columns and give what was shown."""
    master, slave = pty.openpty()
    fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))
    environ = {"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT), "TERM": "xterm", "PYTHONUTF8": "1"}
    ran = subprocess.run([sys.executable, "-c", code], cwd=folder, env=environ, stdin=slave, stdout=slave, check=False)
    os.close(slave)
    shown = os.read(master, 65536).decode()
    os.close(master)
    assert ran.returncode == 0
    return shown.replace("\r\n", "\n")


@pytest.mark.parametrize("columns", [40, 60, 80, 120])
def test_on_a_real_terminal(tmp_path: Path, columns: int) -> None:
    code = f"""
from proxy.cli.table import print_table
print_table({HEAD!r}, {ROWS[:3]!r}, total={ROWS[3]!r}, right=frozenset({HEAD[2:]!r}))
"""
    shown = on_terminal(tmp_path, columns, code)
    for number in NUMBERS:
        assert re.search(rf"(?<![\d.]){re.escape(number)}(?![\d.])", shown), (columns, number)
    assert all(cells(line) <= columns for line in shown.splitlines())
