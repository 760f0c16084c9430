"""Sums of more than 64 bits: each row fits, all together are told exactly, and no text blames the file."""

import csv
import io
import json
import random
from pathlib import Path

import pytest

from proxy.core.money import MAX_PUSD, pusd_to_usd
from proxy.storage.adjustment import Correction
from proxy.storage.performance import PerformanceFilter
from proxy.storage.sqlite.adjustments import correct
from proxy.storage.sqlite.backup import copy_ledger
from proxy.storage.sqlite.own_usage import spent_since, spent_with, usage_by_model
from proxy.storage.sqlite.performance import read_performance
from proxy.storage.sqlite.reconciliation import provider_history
from tests.cli.command_line import Commands
from tests.storage.made_rows import START_MS, insert, ledger, made
from tests.storage.test_verify import audited

HOUR_MS = 3_600_000
COSTS = (MAX_PUSD, MAX_PUSD - 1, MAX_PUSD // 2 + 7, 12_345_678_901, 3)
FOUND_PUSD = (MAX_PUSD - 9, MAX_PUSD - 8)  # what two others came to, as was found later
WHOLE_PUSD = sum(COSTS) + sum(FOUND_PUSD)


@pytest.fixture(scope="module")
def rich(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a ledger of 37 million USD."""
    path = tmp_path_factory.mktemp("rich") / "tollkeeper.db"
    with ledger(path) as db:
        rows = []
        for n, cost_pusd in enumerate((*COSTS, 0, 0)):
            row = made(n, START_MS + n * HOUR_MS, random.Random(n))
            whose = {
                "user": "anna",
                "model": "m",
                "provider": "openrouter",
                "use_case": None,
                "target_provider": "openrouter",
                "key": "own",
                "tags": '{"a": "b"}',
            }
            rows.append({**row, **whose, "state": "settled", "cost_pusd": cost_pusd})
        insert(db, rows)
        late = [Correction(row["id"], pusd, "bill", "x") for row, pusd in zip(rows[-2:], FOUND_PUSD, strict=True)]
        correct(db, late, START_MS)
        db.executemany(
            "INSERT INTO provider_activity VALUES ('openrouter', ?, '', 'm', '', '', '', ?, 0, 1, 1, 1, 0, 0, 0)",
            [("2026-01-01", MAX_PUSD), ("2026-01-02", MAX_PUSD - 4)],
        )
    return path


@pytest.mark.parametrize("by", ["user", "month", "week,model", "token", "tag", "tag:a,user", "key", "end_user"])
def test_usage_is_exact_by_any_word(commands: Commands, rich: Path, by: str) -> None:
    found = commands.read("usage", "--db", str(rich), "--by", by)
    assert found["total"]["cost_pusd"] == sum(row["cost_pusd"] for row in found["rows"]) == WHOLE_PUSD
    assert found["total"]["cost_usd"] == pusd_to_usd(WHOLE_PUSD)


def test_reports_are_exact(commands: Commands, rich: Path) -> None:
    asked = ("report", "2026-09", "--db", str(rich), "--growth", "10%/month")
    found = json.loads(commands.ok(*asked, "--json").stdout)
    assert found["total"]["cost_pusd"] == WHOLE_PUSD
    assert sum(one["amount_pusd"] for one in found["late_costs"]) == sum(FOUND_PUSD)
    assert found["projection"]["months"]["36"]["cost_pusd"] > WHOLE_PUSD * 36
    for form in ("text", "html", "csv"):
        assert pusd_to_usd(WHOLE_PUSD) in commands.ok(*asked, "--format", form).stdout


def test_exports_are_exact(commands: Commands, rich: Path) -> None:
    for form in ("csv", "jsonl"):
        text = commands.ok("export", "--db", str(rich), "--summary", "user", "--format", form).stdout
        assert str(WHOLE_PUSD) in text.splitlines()[-1]
        assert pusd_to_usd(WHOLE_PUSD) in text.splitlines()[-1]
    charges = csv.DictReader(io.StringIO(commands.ok("export", "--db", str(rich), "--format", "focus").stdout))
    assert sum(int(charge["x_CostPusd"]) for charge in charges) == WHOLE_PUSD


def test_a_copy_and_a_check_tell_the_sum(rich: Path, tmp_path: Path) -> None:
    assert copy_ledger(rich, tmp_path / "copy.db").cost_pusd == WHOLE_PUSD
    found = audited(rich)
    assert found.cost_pusd == WHOLE_PUSD
    said = " ".join(f"{one.check} {one.text}" for one in found.differences)
    assert "overflow" not in said
    assert "total users" not in said


def test_what_the_proxy_asks_is_exact(rich: Path) -> None:
    with ledger(rich) as db:
        assert spent_since(db, "anna", [0]) == [WHOLE_PUSD]
        assert spent_with(db, "anna", "own", [0, START_MS + HOUR_MS]) == [WHOLE_PUSD, WHOLE_PUSD - COSTS[0]]
        assert [one.cost_pusd for one in usage_by_model(db, "anna", 0)] == [WHOLE_PUSD]
        assert [one.cost_pusd for one in read_performance(db, PerformanceFilter())] == [WHOLE_PUSD]
        assert [one.cost_pusd for one in provider_history(db, None, None)] == [2 * MAX_PUSD - 4]
