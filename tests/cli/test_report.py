"""tollkeeper report: every format from real files, equal to usage, safe to open, and what follows from it."""

import csv
import io
import json
import random
import re
import sqlite3
import stat
from contextlib import closing
from datetime import UTC, datetime
from decimal import Decimal
from html.parser import HTMLParser
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from msgspec.structs import replace

from proxy.cli.report_data import report_csv
from proxy.cli.report_html import report_html
from proxy.cli.report_text import report_text
from proxy.policy.exchange_rates import RateStep
from proxy.policy.projection import read_growth
from proxy.policy.reconciliation.day_comparison import DriftEntry
from proxy.storage.adjustment import Correction, UnattachedCost
from proxy.storage.finance import MonthQuestion, read_month_report, read_outlook
from proxy.storage.labels import Labels
from proxy.storage.reconciliation import ActivitySum, ComparedDay, DayResult
from proxy.storage.rows import HOUR_MS
from proxy.storage.sqlite.adjustments import book_unattached, correct
from proxy.storage.sqlite.labels import set_labels
from proxy.storage.sqlite.reconciliation import write_day
from proxy.storage.sqlite.reports import SqliteReports
from proxy.web.admin.report import MonthDocument, month_json
from tests.cli.command_line import Commands
from tests.storage.made_rows import START_MS, fill, insert, ledger, made

DAY_MS = 24 * HOUR_MS
LOST = "lost_row: The proxy made the call, but its ledger has no row of it."
EVIL = "<script>alert('x')</script>&\"="
COLOURED = "\x1b[31mred"
ZONE = "America/New_York"


@pytest.fixture(scope="module")
def kept(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a ledger of September and October 2026 with two rates, late costs, and names that mean harm."""
    path = tmp_path_factory.mktemp("finance") / "tollkeeper.db"
    with ledger(path, zone=ZONE) as db:
        rates = (RateStep(0, "10.5"), RateStep(START_MS // HOUR_MS * HOUR_MS + DAY_MS, "9.8"))
        set_labels(db, Labels(ZONE, "SEK", "1", rates), 0)
        rows = fill(db, 400, step_ms=DAY_MS // 12)
        harm = made(9_999, START_MS + DAY_MS // 2, random.Random(3))
        insert(
            db,
            [
                {
                    **harm,
                    "state": "settled",
                    "cost_pusd": 7,
                    "user": EVIL,
                    "model": EVIL,
                    "use_case": EVIL,
                    "group_name": COLOURED,
                }
            ],
        )
        settled = [row for row in rows if row["state"] == "settled" and row["cost_pusd"] is not None][:20]
        correct(db, [Correction(row["id"], row["cost_pusd"] * 2, EVIL, "bill of x") for row in settled], START_MS)
        book_unattached(db, [_lost()], START_MS)
    return path


def _lost() -> UnattachedCost:
    at_ms = START_MS // HOUR_MS * HOUR_MS
    return UnattachedCost(at_ms, "2026-09-21", "openrouter", "m", "main", 5_000, LOST, "bill of x", "gen-lost")


def report(commands: Commands, kept: Path, *arguments: str) -> str:
    return commands.ok("report", "2026-09", "--db", str(kept), *arguments).stdout


def sums(document: dict[str, Any]) -> list[int]:
    tables = (document["people"], document["groups"], document["projects"]["rows"], document["models"])
    return [sum(row["cost_pusd"] for row in table) for table in tables]


def test_all_tables_add_up_to_what_usage_says(commands: Commands, kept: Path) -> None:
    document = json.loads(report(commands, kept, "--json"))
    usage = json.loads(commands.ok("usage", "--month", "2026-09", "--db", str(kept), "--json").stdout)
    total = document["total"]
    assert (total["cost_pusd"], total["cost_usd"]) == (usage["total"]["cost_pusd"], usage["total"]["cost_usd"])
    assert total["cost_local"] == usage["total"]["cost_sek"]
    assert total["requests"] == usage["total"]["requests"] > 50
    assert {*sums(document), sum(day["cost_pusd"] for day in document["days"])} == {total["cost_pusd"]}
    locals_ = [Decimal(row["cost_local"]) for row in document["people"]]
    assert sum(locals_) == Decimal(total["cost_local"])
    for line in csv.DictReader(io.StringIO(report(commands, kept, "--format", "csv"))):
        if line["section"] == "total":
            assert line["cost_pusd"] == str(total["cost_pusd"])
            assert line["cost_local"] == total["cost_local"]
    late = {(each["reason"], each["source"]): each for each in document["late_costs"]}
    assert late[LOST, "bill of x"]["amount_pusd"] == 5_000
    assert late[EVIL, "bill of x"]["number"] == 20
    assert Decimal(late[EVIL, "bill of x"]["amount_local"]) > Decimal(late[EVIL, "bill of x"]["amount_usd"]) * 9


def test_late_costs_have_the_rates_of_their_days(commands: Commands, kept: Path) -> None:
    late = json.loads(report(commands, kept, "--json"))["late_costs"]
    with closing(sqlite3.connect(kept)) as db:
        booked = db.execute("SELECT at_ms, amount_pusd, reason FROM adjustments").fetchall()
    cut_ms = START_MS // HOUR_MS * HOUR_MS + DAY_MS
    for each in late:
        of_reason = [(at_ms, pusd) for at_ms, pusd, reason in booked if reason == each["reason"]]
        amounts = [Decimal(pusd) * Decimal("9.8" if at_ms >= cut_ms else "10.5") for at_ms, pusd in of_reason]
        assert Decimal(each["amount_local"]) == sum(amounts, Decimal(0)).scaleb(-12)
    assert {at_ms >= cut_ms for at_ms, _, _ in booked} == {True, False}


def test_the_bill_stands_beside_it_and_what_was_before_in_no_sum(commands: Commands, tmp_path: Path) -> None:
    path = tmp_path / "billed.db"
    with ledger(path) as db:
        fill(db, 30, step_ms=HOUR_MS)
        day = ComparedDay(
            "openrouter", "2026-09-21", "calls", 900, 1_000, 5, is_final=True, problem=None, compared_ms=1
        )
        later = replace(day, day="2026-09-22", problem="cut off")
        sums = {"": (ActivitySum("old/model", "old/model-1", "e", "Old", 5_000, 0, 7, 10, 20, 0, 0),)}
        before = replace(day, day="2026-09-03", level="history", booked_pusd=0)
        write_day(db, DayResult(day, (drift("refunded", -20), drift("unknown", 120))))
        write_day(db, DayResult(later, (drift("refunded", -10), drift("refunded", -20))))
        write_day(db, DayResult(before, (), activity=sums))
    document = json.loads(commands.ok("report", "2026-09", "--db", str(path), "--json").stdout)
    bill = document["bill"]
    assert (bill["days"], bill["broken_days"], bill["difference_pusd"]) == (2, 1, 200)
    assert [(one["name"], one["number"], one["amount_pusd"], one["adjusted_pusd"]) for one in bill["classes"]] == [
        ("refunded", 3, -50, 0),
        ("unknown", 1, 120, 0),
    ]
    assert [(one["model"], one["requests"], one["cost_pusd"]) for one in document["history"]] == [
        ("old/model", 7, 5_000)
    ]
    assert document["total"]["cost_pusd"] == sums_of(path)
    usage = commands.ok("usage", "--month", "2026-09", "--db", str(path), "--with-history")
    assert usage.stdout.splitlines()[-1].split() == ["total", "-", "-", "-", "0.000000005"]
    assert "in no sum above" in usage.stderr
    shown = json.loads(commands.ok("usage", "--db", str(path), "--with-history", "--json").stdout)
    assert (shown["history"][0]["cost_pusd"], shown["total"]["cost_pusd"]) == (5_000, sums_of(path))
    for form in ("text", "html"):
        text = commands.ok("report", "2026-09", "--db", str(path), "--format", form).stdout
        assert "Charged before the first request here" in text
        assert "2 days of UTC compared, 1 not whole" in text


def drift(name: str, amount_pusd: int) -> DriftEntry:
    return DriftEntry(name, amount_pusd, None, None, "", "m", START_MS, 0, amount_pusd, None)


def sums_of(path: Path) -> int:
    with closing(sqlite3.connect(path)) as db:
        found: int = db.execute("SELECT sum(cost_pusd) FROM usage_hourly").fetchone()[0]
    return found


def test_csv_holds_every_table_and_no_formula(commands: Commands, kept: Path) -> None:
    lines = list(csv.DictReader(io.StringIO(report(commands, kept, "--format", "csv"))))
    total = int(lines[-1]["cost_pusd"])
    assert lines[-1]["section"] == "total"
    for section in ("person", "group", "project", "model"):
        assert sum(int(line["cost_pusd"]) for line in lines if line["section"] == section) == total
    assert not [line for line in lines for cell in line.values() if cell and cell[0] in "=+@"]
    assert {line["currency"] for line in lines} == {"SEK"}
    assert COLOURED in {line["name"] for line in lines if line["section"] == "group"}  # as it is, for it is a key
    by_group = commands.ok("usage", "--by", "group", "--csv", "--db", str(kept)).stdout
    assert COLOURED in {line["group"] for line in csv.DictReader(io.StringIO(by_group))}


class _Page(HTMLParser):
    """What a browser would make of a page."""

    def __init__(self) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.texts: list[str] = []
        self.links: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.links += [value or "" for name, value in attrs if name in ("src", "href") or name.startswith("on")]

    def handle_data(self, data: str) -> None:
        self.texts.append(data)


def test_html_is_one_page_without_anything_that_runs_or_loads(commands: Commands, kept: Path) -> None:
    text = report(commands, kept, "--format", "html", "--roi", "--revenue", "$500/month", "--cost-of", f"user={EVIL}")
    page = _Page()
    page.feed(text)
    assert page.links == []
    assert "script" not in page.tags
    assert {"h1", "table", "svg", "style"} <= {*page.tags}
    assert EVIL in page.texts  # shown as it is
    assert "default-src 'none'" in text.replace("&#x27;", "'")
    assert "prefers-color-scheme: dark" in text
    assert "@media print" in text
    assert "http" not in re.sub("http-equiv", "", text)
    assert page.tags.count("rect") > 5


def test_a_part_that_cost_nothing_is_said_to(commands: Commands, kept: Path) -> None:
    asked = ("report", "2026-09", "--db", str(kept), "--roi", "--revenue", "$500/month", "--cost-of")
    assert "Note: user=nobody cost nothing" in commands.ok(*asked, "user=nobody").stderr
    assert "Note" not in commands.ok(*asked, f"user={EVIL}").stderr


def test_text_is_a_page_that_adds_up(commands: Commands, kept: Path) -> None:
    text = report(commands, kept, "--top", "2")
    assert "Spending in September 2026" in text
    assert re.search(r"^\d+ others", text, re.MULTILINE)
    assert "(no request)" in report(commands, kept)
    totals = {line.split()[3] for line in text.splitlines() if re.match(r"total +\d+ +\d+ +\d", line)}
    assert len(totals) == 1
    assert f"Total: {totals.pop()} USD, " in text
    assert "rates of the days" in text
    assert "bill of x" in text
    late = text[text.index("known late") : text.index("They are in all tables")].splitlines()
    assert max(map(len, late)) <= 80
    people = text[text.index("By person") : text.index("By group")].splitlines()
    assert max(map(len, people)) <= 80
    assert any(re.fullmatch(r"ledger has no row of it\. \(bill of x\) +1 +0\.000000005", line) for line in late)


def test_an_export_says_what_belongs_to_no_row(commands: Commands, kept: Path) -> None:
    ran = commands.ok("export", "--db", str(kept), "--columns", "cost_pusd")
    assert "Note: 0.000000005 USD that only the bill knows of belong to no row" in ran.stderr
    exported = sum(int(line) for line in ran.stdout.splitlines()[1:] if line != '""')
    assert exported + 5_000 == commands.read("usage", "--db", str(kept))["total"]["cost_pusd"]
    for more in (("--summary", "user"), ("--format", "focus"), ("--user", EVIL), ("--until", "2026-09-01")):
        assert "belong to no row" not in commands.ok("export", "--db", str(kept), *more).stderr


def test_an_export_of_models_says_whose_rows_are_gone(commands: Commands, tmp_path: Path) -> None:
    path = tmp_path / "cut.db"
    with ledger(path) as db:
        fill(db, 30, step_ms=HOUR_MS)
        db.execute("UPDATE requests SET requested_model = 'fast'")
        gone = "id IN (SELECT id FROM requests WHERE state = 'settled' ORDER BY id LIMIT 5)"
        [whose] = db.execute(f"SELECT count(*) FROM requests WHERE {gone} AND user = 'anna'").fetchone()  # noqa: S608 - a constant
        db.execute(f"DELETE FROM requests WHERE {gone}")  # noqa: S608 - as above
    for more in (("--summary", "month"), ("--format", "focus")):
        said = commands.ok("export", "--db", str(path), "--model", "fast", *more).stderr
        assert "of 5 requests in that time retention has removed the rows" in said
        said = commands.ok("export", "--db", str(path), "--model", "fast", "--user", "anna", *more).stderr
        assert (f"of {whose} requests" in said) == (whose > 0)
        assert "Note" not in commands.ok("export", "--db", str(path), *more).stderr


def test_long_names_are_broken_and_amounts_are_not(commands: Commands) -> None:
    path, name = commands.folder / "long.db", "x" * 90
    with ledger(path, zone=ZONE) as db:
        set_labels(db, Labels(ZONE, "SEK", "1", (RateStep(0, "10.5"),)), 0)
        insert(db, [{**made(1, START_MS, random.Random(1)), "user": name, "group_name": f"of {name}", "model": name}])
    text = report(commands, path)
    assert max(map(len, text.splitlines())) <= 80
    assert "".join(line.split("  ")[0] for line in text.splitlines() if "xxx" in line).count("x") >= 90


def test_a_file_is_written_whole_and_for_its_owner(commands: Commands, kept: Path) -> None:
    target = commands.folder / "november.html"
    target.write_text("old")
    target.chmod(0o644)
    ran = commands.ok("report", "2026-09", "--db", str(kept), "-o", target.name)
    assert ran.stdout == ""
    assert target.read_text().startswith("<!doctype html>")
    assert stat.S_IMODE(target.stat().st_mode) == 0o600
    assert [path.name for path in commands.folder.glob(".*half")] == []
    commands.ok("report", "2026-09", "--db", str(kept), "-o", "/dev/null")
    assert Path("/dev/null").is_char_device()
    ran = commands.run("report", "2026-09", "--db", str(kept), "-o", "missing/x.csv")
    assert (ran.returncode, "cannot be written" in ran.stderr) == (1, True)


def test_projects_may_be_tags(commands: Commands, kept: Path) -> None:
    document = json.loads(report(commands, kept, "--json", "--project", "tag:k"))
    assert {row["project"] for row in document["projects"]["rows"]} == {"", 'v, "quoted"'}
    assert len({*sums(document), document["total"]["cost_pusd"]}) == 1


def test_what_it_comes_to(kept: Path) -> None:
    """In the middle of a month the forecast is the run-rate's; after it the month itself goes on."""
    reports, zone = SqliteReports(kept), ZoneInfo(ZONE)
    start_ms, end_ms = (int(datetime(2026, month, 1, tzinfo=zone).timestamp() * 1000) for month in (10, 11))
    question = MonthQuestion("2026-10", start_ms, end_ms, zone, growth=read_growth("5%/month"))
    half_ms = start_ms + (end_ms - start_ms) // 2
    then, after = (read_month_report(reports, question, at_ms) for at_ms in (half_ms, end_ms))
    assert after.outlook.forecast_pusd is None
    assert after.outlook.projection is not None
    assert after.outlook.projection.month_pusd == after.total.cost_pusd
    assert then.outlook.forecast_pusd is not None
    assert then.outlook.projection is not None
    assert then.outlook.projection.month_pusd == then.outlook.forecast_pusd >= then.total.cost_pusd
    young = read_month_report(reports, question, start_ms + HOUR_MS)
    assert young.outlook.forecast_pusd is not None
    assert young.outlook.rate_days > 5
    part = MonthQuestion("2026-10", start_ms, end_ms, zone, revenue_pusd=10**16, part=("user", "anna"))
    found = read_month_report(reports, part, end_ms)
    assert found.outlook.break_even is not None
    anna = sum(row.cost_pusd for row in found.people if row.key[0] == "anna")
    assert found.outlook.break_even.margin_pusd == 10**16 - anna


def test_a_month_that_is_too_young_foretells_nothing(tmp_path: Path) -> None:
    """What the first hours cost is no month: it is projected once there is a forecast, or the month is over."""
    path, zone = tmp_path / "young.db", ZoneInfo("UTC")
    start_ms, end_ms = (int(datetime(2026, month, 1, tzinfo=zone).timestamp() * 1000) for month in (10, 11))
    with ledger(path) as db:
        first = made(1, start_ms + HOUR_MS, random.Random(1))
        insert(db, [{**first, "state": "settled", "cost_pusd": 10**12}])
    question = MonthQuestion("2026-10", start_ms, end_ms, zone, revenue_pusd=5 * 10**12)
    young, next_day, after = (
        read_month_report(SqliteReports(path), question, at_ms)
        for at_ms in (start_ms + 2 * HOUR_MS, start_ms + DAY_MS + HOUR_MS, end_ms)
    )
    assert (young.total.cost_pusd, young.is_over) == (10**12, False)
    for text in (report_text(young, "USD", 9), report_html(young, "USD", 9), report_csv(young, "USD")):
        assert not re.search(r"Next \d+ months|Pays for itself|Margin|Break-even", text)
    for text in (report_text(young, "USD", 9), report_html(young, "USD", 9)):
        assert text.count("the month is too young") == 2  # in the outlook, and of the return
    told = month_json(young, "USD")
    assert (told["forecast"], told["projection"], told["break_even"]) == (None, None, None)
    assert told["forecast_note"] == "None yet: the month is too young, and nothing is projected from it."
    assert month_json(next_day, "USD")["forecast_note"] is None
    assert month_json(after, "USD")["forecast"] is None
    assert month_json(after, "USD")["forecast_note"] == "None: the month is over, and its total is what it came to."
    assert MonthDocument.model_validate(told).projection is None
    assert read_outlook(SqliteReports(path), question, start_ms + 2 * HOUR_MS) == (10**12, young.outlook)
    for report in (next_day, after):
        text = report_text(report, "USD", 9)
        assert ("Next 12 months" in text, "Pays for itself" in text, "too young" in text) == (True, True, False)


def test_this_month_has_a_forecast_and_an_empty_ledger_a_page(commands: Commands, tmp_path: Path) -> None:
    path = tmp_path / "new.db"
    with ledger(path):
        pass
    text = commands.ok("report", "--db", str(path)).stdout
    assert f"Spending in {datetime.now(UTC):%B %Y}" in text
    assert "Nothing was spent." in text
    for form in ("html", "csv", "json"):
        assert commands.ok("report", "--db", str(path), "--format", form).stdout


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (("2026-13",), "MONTH"),
        (("2999-01",), "has not begun"),
        (("--growth", "fast"), "is not a pace"),
        (("--roi",), "--roi needs --revenue"),
        (("--revenue", "$5"), "belong to --roi"),
        (("--roi", "--revenue", "much"), "is not a revenue"),
        (("--roi", "--revenue", "$5", "--cost-of", "colour=red"), "--cost-of"),
        (("--project", "tag"), "--project"),
        (("-o", "x.xlsx"), ".xlsx files are not written"),
        (("--json", "--format", "csv"), "--json or --format"),
    ],
)
def test_mistakes(commands: Commands, kept: Path, arguments: tuple[str, ...], text: str) -> None:
    ran = commands.run("report", "--db", str(kept), *arguments)
    assert (ran.returncode, text in ran.stderr) == (2, True), ran.stderr
