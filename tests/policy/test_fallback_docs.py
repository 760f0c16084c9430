"""docs/concepts/attempts.md holds the table as it is."""

import re
from pathlib import Path

from proxy.policy.failure_table import TABLE

TEXT = (Path(__file__).parents[2] / "docs" / "concepts" / "attempts.md").read_text()
WORDS = {"retry": "retry", "next_key": "key", "next_target": "target"}


def test_every_row_stands_in_the_docs_with_its_steps() -> None:
    told = {
        case: steps.replace(" once", "")
        for case, steps in re.findall(r"^\| `(\w+)` \| .+? \| ([^|]+) \| [^|]+ \|$", TEXT, re.MULTILINE)
    }
    assert told == {row.case: ", ".join(WORDS[step] for step in row.steps) or "\N{EN DASH}" for row in TABLE}


def test_what_is_tried_again_once_is_told() -> None:
    once = set(re.findall(r"^\| `(\w+)` \| .+? \| [^|]*retry once", TEXT, re.MULTILINE))
    assert once == {row.case for row in TABLE if row.retries_max == 1}
