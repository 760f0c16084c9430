"""docs/reference/configuration.md has every setting as the program describes it, and every variable."""

from proxy.config.environment import VARIABLES

from .__main__ import ALERTS, CONFIGURATION
from .alert_tables import alert_page
from .settings_tables import written

PAGE = CONFIGURATION.read_text(encoding="utf-8")


def test_the_tables_are_those_of_the_settings() -> None:
    assert written(PAGE) == PAGE, "python -m tests.docs --write"


def test_the_tables_of_alerts_are_those_of_their_rows() -> None:
    page = ALERTS.read_text(encoding="utf-8")
    assert alert_page(page) == page, "python -m tests.docs --write"


def test_the_page_has_every_short_variable() -> None:
    for name, path in VARIABLES.items():
        if "__" not in name:
            assert f"| `{name}` | `{'.'.join(path)}` |" in PAGE
