"""The page of the benchmarks: its tables stand between marks, and a run writes them anew."""

import re
from pathlib import Path

from machine import BenchError

PAGE = Path(__file__).resolve().parents[2] / "docs" / "trust" / "benchmarks.md"
_END = "<!-- end of figures -->"


def write_tables(page: Path, tables: dict[str, str]) -> None:
    """Put each text between the marks of its name; raise BenchError, and write nothing, where a page lacks one."""
    text = page.read_text()
    for name, table in tables.items():
        begin = f"<!-- figures: {name} -->"
        found = re.compile(f"{re.escape(begin)}\n.*?{re.escape(_END)}", re.DOTALL).search(text)
        if found is None:
            raise BenchError(f"{page} has no place for {name}: a line {begin}, and {_END} below it")
        text = f"{text[: found.start()]}{begin}\n{table.strip()}\n{_END}{text[found.end() :]}"
    page.write_text(text)
