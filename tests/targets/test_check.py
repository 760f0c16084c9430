"""tollkeeper check names the targets that a hard limit on cost keeps from being asked."""

from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from proxy.cli.check import check
from tests.support.installation import settings, write_config

PRESETS = {"presets": {"some": ["plain/m", "bare/x"], "none": ["bare/x"], "all": ["plain/m"]}}
BARE = {"providers": {"bare": {"base_url": "http://127.0.0.1:9/v1"}}}
HARD = {"limits": {"cost": "$5/day"}}
SOFT = {"limits": {"cost": {"amount": "$5", "window": "day", "mode": "soft"}}}


@pytest.mark.parametrize(("limits", "is_told"), [(HARD, True), (SOFT, False), ({}, False)])
def test_targets_without_a_price(tmp_path: Path, limits: dict[str, Any], is_told: bool) -> None:
    path = write_config(tmp_path, settings("http://127.0.0.1:9", {**PRESETS, **BARE, **limits}))
    said = " ".join(CliRunner().invoke(check, ["--offline", "-c", str(path)]).output.split())
    assert ("presets.some: bare/x: no price, and therefore left out of it" in said) is is_told
    assert ("presets.none: bare/x: no price, and therefore all it has" in said) is is_told
    assert "presets.all:" not in said
