"""The table of classes: what other parts rest on."""

import re
from pathlib import Path

from proxy.policy.reconciliation.drift_class import BY_NAME, DRIFT_CLASSES, UNKNOWN

_PAGE = Path(__file__).parents[3] / "docs" / "concepts" / "reconciliation.md"


def test_each_class_stands_once_and_says_what_it_is() -> None:
    assert len(BY_NAME) == len(DRIFT_CLASSES)
    assert all(each.meaning.endswith(".") for each in DRIFT_CLASSES)


def test_what_stays_is_booked_by_nobody() -> None:
    assert all(each.remedy == "none" for each in DRIFT_CLASSES if each.is_lasting)


def test_what_nobody_explains_is_open_and_not_booked() -> None:
    assert not BY_NAME[UNKNOWN].is_lasting
    assert BY_NAME[UNKNOWN].remedy == "none"


def test_the_page_has_a_row_for_each_that_says_what_is_booked() -> None:
    rows = re.findall(r"^\| `(\w+)` \| .+ \| (.+) \| (.+) \|$", _PAGE.read_text(), re.MULTILINE)
    assert [name for name, _, _ in rows] == [*BY_NAME]
    for name, done, remains in rows:
        each = BY_NAME[name]
        assert done.startswith("nothing") is (each.remedy == "none"), name
        assert ("for nobody, on the key" in done) is (each.remedy == "apart"), name
        assert (remains == "nothing") is (each.remedy != "none"), name
        assert ("explained" in remains) is each.is_lasting, name
