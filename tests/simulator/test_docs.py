"""docs/developers/simulator.md names every field, behaviour, error and path of control."""

import json
import re
from pathlib import Path

import pytest

from proxy.simulator.behaviour import NAMED_BEHAVIOURS, Behaviour
from proxy.simulator.books import Generation
from proxy.simulator.faults import FAULTS
from proxy.simulator.server import Simulator

PAGE = (Path(__file__).parents[2] / "docs" / "developers" / "simulator.md").read_text(encoding="utf-8")


def rows(heading: str) -> dict[str, str]:
    """Give the table rows under a heading by the name in their first cell."""
    section = re.split(r"^#+ ", PAGE.partition(f"# {heading}\n")[2], maxsplit=1, flags=re.MULTILINE)[0]
    return {match[1]: match[0] for match in re.finditer(r"^\| `([^`]+)` \|.*$", section, re.MULTILINE)}


FIELDS, NAMED, ERRORS = rows("Fields"), rows("Ready-made behaviours"), rows("Errors")


@pytest.mark.parametrize("name", sorted(Behaviour.model_fields))
def test_every_field_has_its_row_with_default_and_meaning(name: str) -> None:
    field = Behaviour.model_fields[name]
    assert field.description
    default = field.default if isinstance(field.default, str) else json.dumps(field.default)
    assert FIELDS[name].endswith(f"| {'-' if field.default is None else default} | {field.description} |")


@pytest.mark.parametrize("name", sorted(set(NAMED_BEHAVIOURS) - {f"error-{fault}" for fault in FAULTS}))
def test_every_named_behaviour_has_its_row(name: str) -> None:
    for field in NAMED_BEHAVIOURS[name]:
        assert field in NAMED[name]


@pytest.mark.parametrize("name", sorted(FAULTS))
def test_every_error_has_its_row(name: str) -> None:
    assert f"| {FAULTS[name].status} |" in ERRORS[f"error-{name}"]


def test_every_path_of_control_is_named() -> None:
    for method, path in Simulator()._control._routes:
        assert re.search(rf"`{method} /_sim/{path}`", PAGE), f"{method} /_sim/{path}"


def test_every_figure_of_the_books_is_named() -> None:
    entry = Generation("gen-1", 1, "chat/completions", "m", "p", False, 1, None, None, "k", 0, 0.0)
    for name in entry.shown():
        assert f"`{name}`" in PAGE


def test_the_page_names_nothing_that_is_gone() -> None:
    assert set(FIELDS) == set(Behaviour.model_fields)
    assert set(NAMED) | set(ERRORS) == set(NAMED_BEHAVIOURS)
