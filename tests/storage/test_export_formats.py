"""Every format of an export comes to the same sum, to the pico-dollar, whatever was adjusted, lost or removed."""

import csv
import io
import json
import random
import sqlite3
import sys
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from decimal import Decimal
from itertools import pairwise
from pathlib import Path
from zoneinfo import ZoneInfo

import duckdb
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from proxy.cli.ledger_options import Source
from proxy.cli.usage_summary import summary_chunks
from proxy.policy.exchange_rates import RateStep
from proxy.storage.adjustment import Correction, UnattachedCost
from proxy.storage.export import COLUMNS, Chunk, Selection, jsonl_chunks
from proxy.storage.focus import FOCUS_VERSIONS, FocusVersion, focus_chunks, focus_columns
from proxy.storage.labels import Labels
from proxy.storage.parquet import ParquetMissingError, parquet_chunks
from proxy.storage.sqlite.adjustments import book_unattached, correct
from proxy.storage.sqlite.labels import set_labels
from proxy.storage.sqlite.reports import SqliteReports
from tests.storage.made_rows import START_MS, fill, ledger

ROWS, DAY_MS, HOUR_MS = 900, 86_400_000, 3_600_000
STEPS = (RateStep(0, "9.5"), RateStep(START_MS // HOUR_MS * HOUR_MS + 30 * HOUR_MS, "10.4217123456"))


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a ledger of three days: some costs were corrected, one belongs to no request, the oldest rows are gone."""
    path = tmp_path_factory.mktemp("formats") / "tollkeeper.db"
    chance = random.Random(5)
    with ledger(path) as connection:
        set_labels(connection, Labels("UTC", "SEK", "1", STEPS), 0)
        rows = fill(connection, ROWS, step_ms=288_000)
        ended = [row for row in rows if row["state"] == "settled"]
        for row in chance.sample(ended, 60):
            cost_pusd, now_ms = (row["cost_pusd"] or 0) * chance.choice((0, 1, 3)) // 2, START_MS + 40 * DAY_MS
            assert correct(connection, [Correction(row["id"], cost_pusd, "late", "bill")], now_ms)[0].how != "refused"
        lost = UnattachedCost(START_MS, "2026-09-21", "openrouter", "=o3", "main", 12_345, "lost row", "bill", "gen-1")
        book_unattached(connection, [lost], START_MS)
        connection.execute("DELETE FROM requests WHERE id <= ?", (rows[ROWS // 4]["id"],))
    return path


def total_of(path: Path, query: str) -> int:
    connection = sqlite3.connect(path)
    try:
        found: int = connection.execute(query).fetchone()[0]
    finally:
        connection.close()
    return found


def text_of(chunks: Iterable[Chunk]) -> str:
    return b"".join(chunk.data for chunk in chunks).decode()


def rows_of(chunks: Iterable[Chunk]) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(text_of(chunks), newline="")))


def source_of(path: Path) -> Source:
    return Source(SqliteReports(path), ZoneInfo("Europe/Stockholm"), "SEK", STEPS)


def test_rows_come_to_the_same_sum(made: Path, tmp_path: Path) -> None:
    """CSV, JSON lines and Parquet, which duckdb opens: in pico-USD, in USD and in the local currency."""
    reports = SqliteReports(made)
    as_csv = rows_of(reports.export_csv(Selection()))
    as_json = [
        json.loads(line, parse_float=Decimal)
        for line in text_of(jsonl_chunks(reports.export(Selection()), COLUMNS)).splitlines()
    ]
    file = tmp_path / "rows.parquet"
    file.write_bytes(b"".join(chunk.data for chunk in parquet_chunks(reports.export(Selection()), COLUMNS)))
    sums = "sum(cost_pusd)::HUGEINT, sum(cost_usd)::VARCHAR, sum(cost_local)::VARCHAR"
    [as_parquet] = duckdb.execute(f"SELECT count(*), {sums}, min(ts), max(day) FROM '{file}'").fetchall()  # noqa: S608 - a path of ours
    pusd = total_of(made, "SELECT sum(cost_pusd) FROM usage")
    assert pusd == as_parquet[1] == sum(int(row["cost_pusd"] or 0) for row in as_csv)
    assert pusd == sum(row["cost_pusd"] or 0 for row in as_json)
    usd = Decimal(pusd).scaleb(-12)
    assert usd == Decimal(as_parquet[2]) == sum(Decimal(row["cost_usd"] or 0) for row in as_csv)
    assert usd == sum(Decimal(row["cost_usd"] or 0) for row in as_json)
    assert Decimal(as_parquet[3]) == sum(Decimal(row["cost_local"] or 0) for row in as_csv)
    assert as_parquet[0] == len(as_csv) == len(as_json)
    assert as_parquet[4].astimezone(UTC) == datetime.fromisoformat(as_csv[0]["ts"])
    assert as_parquet[5].isoformat() == max(row["day"] for row in as_csv)


def test_parquet_has_the_values_of_the_rows(made: Path, tmp_path: Path) -> None:
    columns = ("request_id", "user", "tags", "status", "cost_usd", "streamed", "model")
    file = tmp_path / "rows.parquet"
    reports = SqliteReports(made)
    file.write_bytes(b"".join(chunk.data for chunk in parquet_chunks(reports.export(Selection(columns)), columns)))
    found = duckdb.execute(f"SELECT * REPLACE (cost_usd::VARCHAR AS cost_usd) FROM '{file}'").fetchall()  # noqa: S608 - as above
    expected = [row for piece in reports.export(Selection(columns)) for row in piece.rows]
    assert [(*row[:4], *row[5:]) for row in found] == [(*row[:4], *row[5:]) for row in expected]
    assert [row[4] and Decimal(row[4]) for row in found] == [row[4] and Decimal(row[4]).scaleb(-12) for row in expected]


def test_without_pyarrow(made: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(ParquetMissingError, match=r"pip install 'tollkeeper\[parquet\]'"):
        parquet_chunks(SqliteReports(made).export(Selection()), COLUMNS)


def test_an_empty_parquet(tmp_path: Path) -> None:
    with ledger(tmp_path / "x.db"):
        pass
    file = tmp_path / "rows.parquet"
    chunks = parquet_chunks(SqliteReports(tmp_path / "x.db").export(Selection()), COLUMNS)
    file.write_bytes(b"".join(chunk.data for chunk in chunks))
    assert duckdb.execute(f"SELECT count(*) FROM '{file}'").fetchone() == (0,)  # noqa: S608 - as above


# --- FOCUS


def charges_of(path: Path, selection: Selection, version: FocusVersion = "1.4") -> list[dict[str, str]]:
    return rows_of(focus_chunks(SqliteReports(path).charges(selection), version))


@pytest.mark.parametrize("version", FOCUS_VERSIONS)
def test_charges_come_to_what_the_ledger_holds(made: Path, version: FocusVersion) -> None:
    rows = charges_of(made, Selection(), version)
    held = total_of(made, "SELECT sum(cost_pusd) FROM usage_hourly")
    assert sum(int(row["x_CostPusd"]) for row in rows) == held
    for name in ("BilledCost", "EffectiveCost", "ContractedCost", "ListCost"):
        assert sum(Decimal(row[name]) for row in rows) == Decimal(held).scaleb(-12)
    corrections = [row for row in rows if row["ChargeClass"] == "Correction"]
    late = total_of(made, "SELECT sum(amount_pusd) FROM adjustments")
    assert sum(int(row["x_CostPusd"]) for row in corrections) == late
    counted = total_of(made, "SELECT sum(requests) FROM usage_hourly")
    assert sum(Decimal(row["ConsumedQuantity"] or 0) for row in rows) == counted
    tokens = total_of(made, "SELECT sum(input_tokens) FROM usage_hourly")
    assert sum(int(row["x_InputTokens"] or 0) for row in rows) == tokens


@settings(max_examples=25, deadline=None)
@given(cuts=st.lists(st.integers(-2, 80), max_size=4))
def test_periods_make_up_the_whole(made: Path, cuts: list[int]) -> None:
    """However a time is cut at full hours: nothing is counted twice, nothing missed."""
    edges = [None, *(START_MS // HOUR_MS * HOUR_MS + cut * HOUR_MS for cut in sorted(set(cuts))), None]
    found = 0
    for since_ms, until_ms in pairwise(edges):
        found += sum(int(row["x_CostPusd"]) for row in charges_of(made, Selection((), since_ms, until_ms)))
    assert found == total_of(made, "SELECT sum(cost_pusd) FROM usage_hourly")


# The rules of version 1.4 for the columns that we have, of a kind that its validator would hold them to.
MANDATORY = [
    *("BilledCost", "ContractedCost", "EffectiveCost", "ListCost", "BillingAccountId", "BillingAccountName"),
    *("BillingCurrency", "BillingPeriodEnd", "BillingPeriodStart", "ChargePeriodEnd", "ChargePeriodStart"),
    *("ChargeCategory", "ChargeClass", "ChargeDescription", "PricingQuantity", "PricingUnit", "ServiceCategory"),
    *("ServiceName", "InvoiceIssuerName", "ServiceProviderName", "HostProviderName"),
]
NULLABLE = {"BillingAccountName", "ChargeClass", "ChargeDescription", "PricingQuantity", "PricingUnit"}


def test_version_1_4(made: Path) -> None:
    """No validator of 1.4 comes as a package: its mandatory columns, their types and which of them may be empty."""
    rows = charges_of(made, Selection())
    names = focus_columns("1.4")
    assert set(MANDATORY) <= set(names)
    assert not {"ProviderName", "PublisherName"} & set(names)
    assert {"ProviderName", "PublisherName"} <= set(focus_columns("1.2"))
    assert [name for name in names if name.startswith("x_")] == [name for name in names if not name[0].isupper()]
    for row in rows:
        assert not [name for name in MANDATORY if not row[name] and name not in NULLABLE]
        for name in ("BilledCost", "EffectiveCost", "ContractedCost", "ListCost"):
            assert "." in row[name]
            assert "E" not in row[name]
        for name in ("BillingPeriod", "ChargePeriod"):
            start, end = (datetime.strptime(row[f"{name}{edge}"], "%Y-%m-%dT%H:%M:%S%z") for edge in ("Start", "End"))
            assert start < end
        assert row["BillingPeriodStart"].endswith("-01T00:00:00Z")
        is_correction = row["ChargeClass"] == "Correction"
        assert row["ChargeClass"] in ("", "Correction")
        assert (row["PricingQuantity"] == row["PricingUnit"] == "") == is_correction
        assert row["BillingCurrency"] == "USD"
        for name in ("SkuPriceDetails", "Tags"):
            assert all(isinstance(value, str) for value in json.loads(row[name] or "{}").values())
        assert all(name.startswith("x_") for name in json.loads(row["SkuPriceDetails"] or "{}"))
    corrections = [row for row in rows if row["ChargeClass"]]
    months = {row["BillingPeriodStart"][:7] for row in corrections}
    assert months == {"2026-09", "2026-10"}  # learnt then, of days in September
    assert {row["ChargePeriodStart"][:7] for row in corrections} == {"2026-09"}
    [lost] = [row for row in rows if row["ChargeDescription"].endswith("lost row")]
    assert (lost["SubAccountId"], lost["SkuId"], lost["BilledCost"]) == ("", "'=o3", "0.000000012345")


def test_charges_of_some(made: Path) -> None:
    rows = charges_of(made, Selection((), users=("anna",), models=("openai/*",)))
    assert {(row["SubAccountId"], row["SkuId"]) for row in rows} == {("anna", "openai/gpt-5-mini")}


# --- sums


@pytest.mark.parametrize("words", [("month", "user"), ("user", "model"), ("day",), ("token",)])
def test_a_summary_has_the_totals(made: Path, words: tuple[str, ...]) -> None:
    rows = rows_of(summary_chunks(source_of(made), words, Selection(), "csv"))
    *parts, last = rows
    assert last[words[0]] == "total"
    assert [row[words[0]] for row in parts] == sorted(row[words[0]] for row in parts)
    pusd = sum(int(row["cost_pusd"]) for row in parts)
    assert pusd == int(last["cost_pusd"])
    if words != ("token",):  # of single rows, and those that are gone have none
        assert pusd == total_of(made, "SELECT sum(cost_pusd) FROM usage_hourly")
    assert sum(Decimal(row["cost_sek"]) for row in parts) == Decimal(last["cost_sek"])
    objects = text_of(summary_chunks(source_of(made), words, Selection(), "jsonl")).splitlines()
    assert [json.loads(line)["cost_pusd"] for line in objects] == [int(row["cost_pusd"]) for row in rows]


def test_a_summary_of_some(made: Path) -> None:
    selection = Selection((), users=("anna", "bob"), models=("openai/*",))
    *parts, last = rows_of(summary_chunks(source_of(made), ("user", "model"), selection, "csv"))
    assert {row["user"] for row in parts} == {"anna", "bob"}
    assert {row["model"] for row in parts} == {"openai/gpt-5-mini"}
    assert sum(int(row["cost_pusd"]) for row in parts) == int(last["cost_pusd"])
    alone: Iterator[Chunk] = summary_chunks(source_of(made), ("month",), Selection((), users=("anna",)), "csv")
    of_anna = total_of(made, "SELECT sum(cost_pusd) FROM usage_hourly WHERE user = 'anna'")
    assert int(rows_of(alone)[-1]["cost_pusd"]) == of_anna


@pytest.fixture(scope="module")
def asked(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a ledger whose rows are all there: some asked for a preset, some have two tags, some were corrected."""
    path = tmp_path_factory.mktemp("asked") / "tollkeeper.db"
    with ledger(path) as connection:
        rows = fill(connection, 200, step_ms=HOUR_MS)
        connection.execute("UPDATE requests SET requested_model = 'fast' WHERE id % 3 = 0")
        connection.execute("""UPDATE requests SET tags = '{"customer": "acme", "job": 7}' WHERE id % 2 = 0""")
        late = [Correction(row["id"], row["cost_pusd"] + 5, "late", "bill") for row in rows if row["cost_pusd"]]
        correct(connection, late[::4], START_MS + 40 * DAY_MS)
    return path


def sums_of(path: Path, selection: Selection, *words: str) -> tuple[int, int]:
    """Return the requests and the cost that a summary has in its total."""
    last = rows_of(summary_chunks(source_of(path), words, selection, "csv"))[-1]
    return int(last["requests"]), int(last["cost_pusd"])


@pytest.mark.parametrize(
    "selection",
    [
        Selection((), models=("openai/*",)),
        Selection((), models=("fast", "meta/llama")),
        Selection((), users=("anna", "bob")),
        Selection((), users=("anna",), models=("*",)),
    ],
)
def test_a_summary_of_some_has_each_request_once(asked: Path, selection: Selection) -> None:
    wanted = sums_of(asked, selection, "user", "model")
    assert wanted > (0, 0)
    for words in (("tag",), ("tag", "model"), ("tag", "user", "requested_model"), ("month",), ("key",)):
        assert sums_of(asked, selection, *words) == wanted, words


@pytest.mark.parametrize("models", [("fast",), ("openai/*",), ("openai/*", "fast"), ("[!o]*",), ("none",)])
def test_a_model_is_the_one_that_answered_or_that_was_asked_for(
    asked: Path, tmp_path: Path, models: tuple[str, ...]
) -> None:
    """Rows, sums and charges are of the same requests; of removed ones the model that answered is known alone."""
    selection = Selection(models=models)

    def exported(path: Path) -> int:
        return sum(int(row["cost_pusd"] or 0) for row in rows_of(SqliteReports(path).export_csv(selection)))

    def charged(path: Path) -> int:
        return sum(int(row["x_CostPusd"]) for row in charges_of(path, selection))

    pusd = exported(asked)
    assert (pusd > 0) == (models != ("none",))
    assert pusd == sums_of(asked, selection, "month")[1] == charged(asked)
    path = tmp_path / "cut.db"
    with sqlite3.connect(asked) as whole, sqlite3.connect(path) as copy:
        whole.backup(copy)
        answered = "CASE WHEN model IS NULL THEN '' WHEN model LIKE 'openai/%' THEN 'openai/*' ELSE '[!o]*' END"
        gone = dict(copy.execute(f"SELECT {answered}, sum(cost_pusd) FROM usage WHERE user = 'bob' GROUP BY 1"))  # noqa: S608 - a constant
        copy.execute("DELETE FROM requests WHERE user = 'bob'")
    whole.close()
    copy.close()
    removed = sum(gone.get(model, 0) for model in models)
    assert exported(path) + removed == sums_of(path, selection, "month")[1] == charged(path)
