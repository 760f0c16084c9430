"""Local money by the rates of its days: usage, view and export agree, and what is past keeps its rate."""

import asyncio
import csv
import io
import logging
import os
from collections import defaultdict
from collections.abc import Iterator, Sequence
from datetime import datetime
from decimal import Decimal
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from threading import Thread
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from proxy.config.schema import Settings
from proxy.jobs.exchange_rates import ExchangeRates
from proxy.policy.exchange_rates import RateStep
from proxy.storage.adjustment import Correction
from proxy.storage.export import Selection, csv_encoder
from proxy.storage.labels import Labels, labels_of
from proxy.storage.rows import HOUR_MS
from proxy.storage.spending import UsageSelection
from proxy.storage.sqlite.adjustments import correct
from proxy.storage.sqlite.connect import open_reader
from proxy.storage.sqlite.export import slices
from proxy.storage.sqlite.labels import read_rates, set_labels
from proxy.storage.sqlite.usage import sum_usage
from tests.storage.made_rows import START_MS, fill, ledger
from tests.support.patience import eventually
from tests.support.stand import stand

ROWS, STEP_MS = 400, 600_000
FIRST_HOUR_MS = START_MS // HOUR_MS * HOUR_MS
FILE = "Date,USD,SEK,\n2026-09-22,1.25,12.5,\n2026-09-21,1.25,11.25,\n"


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("currency") / "tollkeeper.db"
    steps = (RateStep(0, "9.5"), *(RateStep(FIRST_HOUR_MS + n * 7 * HOUR_MS, f"10.{n}1") for n in range(1, 9)))
    with ledger(path) as connection:
        set_labels(connection, Labels("UTC", "SEK", "1", steps), 0)
        rows = fill(connection, ROWS, step_ms=STEP_MS)
        late = [row for row in rows if row["state"] == "settled" and row["cost_pusd"] is not None][::9]
        correct(connection, [Correction(row["id"], row["cost_pusd"] // 2, "late", "provider") for row in late], 1)
    return path


@settings(max_examples=25, deadline=None)
@given(
    by=st.sampled_from([("user",), ("user", "day"), ("model", "group"), ()]),
    zone=st.sampled_from(["UTC", "Asia/Kolkata", "America/New_York"]).map(ZoneInfo),
    since=st.none() | st.integers(0, ROWS * STEP_MS),
    length=st.none() | st.integers(1, ROWS * STEP_MS),
)
def test_usage_agrees_with_the_export(
    made: Path, by: tuple[str, ...], zone: ZoneInfo, since: int | None, length: int | None
) -> None:
    """Each row by the rate of its own time, to the last digit."""
    since_ms = None if since is None else START_MS + since
    until_ms = None if length is None else (since_ms or START_MS) + length
    reader = open_reader(made)
    try:
        rows = sum_usage(reader, UsageSelection(by, since_ms, until_ms, None, read_rates(reader, "SEK")), zone).rows
        columns = ("user", "state", "cost_local")
        _, encode = csv_encoder(columns)
        pieces = slices(reader, Selection(columns, since_ms, until_ms))
        text = b"".join(encode(piece.rows) for piece in pieces).decode()
    finally:
        reader.close()
    sums: defaultdict[str, Decimal] = defaultdict(Decimal)
    for user, state, local in csv.reader(io.StringIO(text)):
        if state in ("settled", "released"):
            sums[user.removeprefix("'")] += Decimal(local)
    assert sum(row.cost_local or 0 for row in rows) == sum(sums.values())
    if by[:1] == ("user",):
        found: defaultdict[str, Decimal] = defaultdict(Decimal)
        for row in rows:
            assert row.cost_local is not None
            found[row.key[0]] += row.cost_local
        assert found == sums


def test_the_view_agrees(made: Path) -> None:
    reader = open_reader(made)
    try:
        view = reader.execute("SELECT sum(cost_local) FROM usage WHERE state IN ('settled', 'released')").fetchone()[0]
        [row] = sum_usage(reader, UsageSelection((), rates=read_rates(reader, "SEK")), ZoneInfo("UTC")).rows
    finally:
        reader.close()
    assert float(row.cost_local or 0) == pytest.approx(view)


def of(**currency: Any) -> Settings:
    return Settings.read({"currency": {"code": "SEK", **currency}})


def test_labels(tmp_path: Path) -> None:
    """A fixed rate, a table, a file; a file that is none leaves what is held."""
    assert labels_of(of(usd_rate="10.42")).steps() == (RateStep(0, "10.42"),)
    table = labels_of(of(rates={"2026-09-22": "10.5", "2026-09-21": "10"})).steps()
    day_ms = 24 * HOUR_MS
    midnight_ms = 1_789_948_800_000  # 2026-09-21
    assert table == (RateStep(midnight_ms, "10"), RateStep(midnight_ms + day_ms, "10.5"))
    file = tmp_path / "rates.csv"
    missing = labels_of(of(ecb_file=str(file)))
    assert missing.steps() == ()
    assert missing.problem == f"{file}: cannot be read (No such file or directory)."
    file.write_text(FILE)
    # a rate holds from the day after the one that it is dated
    steps = (RateStep(midnight_ms + day_ms, "9"), RateStep(midnight_ms + 2 * day_ms, "10"))
    assert labels_of(of(ecb_file=str(file))).steps() == steps
    file.write_text(f"{FILE}9999-12-31,1.25,15,\n")  # no day follows it
    assert labels_of(of(ecb_file=str(file))).steps() == steps
    file.write_bytes(b"\xff\xfe")
    assert labels_of(of(ecb_file=str(file))).problem == f"{file}: it is not text."
    assert "no rates of USD and SEK" in str(labels_of(of(ecb_file=__file__)).problem)


def hours_of_rates(steps: Sequence[RateStep], zone: ZoneInfo) -> list[tuple[str, str]]:
    return [(f"{datetime.fromtimestamp(step.from_ms / 1000, zone):%m-%dT%H:%M}", step.usd_rate) for step in steps]


@pytest.mark.parametrize("zone", ["Europe/Stockholm", "America/New_York", "Asia/Kolkata"])
@pytest.mark.parametrize("has_history", [False, True])
def test_a_rate_holds_from_the_day_after_its_date(tmp_path: Path, zone: str, *, has_history: bool) -> None:
    """Also by a file of one day: its rate waits for midnight, and no hour that has gone by gets it."""
    file, path, place = tmp_path / "rates.csv", tmp_path / "tollkeeper.db", ZoneInfo(zone)
    configured = Settings.read({"timezone": zone, "currency": {"code": "SEK", "ecb_file": str(file)}})
    lines = ["2026-11-10,1,10", "2026-11-11,1,11.5", "2026-11-12,1,12"]
    found = []
    with ledger(path, zone=zone, currency="SEK") as connection:
        connection.execute("DELETE FROM rates")
        for n in range(3):
            file.write_text("\n".join(["Date,USD,SEK", *lines[0 if has_history else n : n + 1]]))
            read_ms = int(datetime(2026, 11, 10 + n, 17, 5, tzinfo=place).timestamp() * 1000)
            set_labels(connection, labels_of(configured), read_ms)
            found.append(hours_of_rates(read_rates(connection, "SEK"), place))
    midnight = "00:30" if zone == "Asia/Kolkata" else "00:00"  # its first full hour
    steps = [found[0][0], (f"11-12T{midnight}", "11.5"), (f"11-13T{midnight}", "12")]
    assert found == [steps[:1], steps[:2], steps]
    assert steps[0][1] == "10"


class _Rates(BaseHTTPRequestHandler):
    body: bytes = b"<html>"
    asked = 0

    def do_GET(self) -> None:
        type(self).asked += 1
        self.send_response(200)
        self.end_headers()
        self.wfile.write(self.body)

    def log_message(self, *_: object) -> None: ...


@pytest.fixture
def bank() -> Iterator[str]:
    server = HTTPServer(("127.0.0.1", 0), _Rates)
    thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}/rates.csv"
    server.shutdown()
    thread.join()
    server.server_close()


async def test_a_file_is_fetched_and_taken_up(tmp_path: Path, bank: str, caplog: pytest.LogCaptureFixture) -> None:
    """What is no list of rates replaces nothing, and is told once; what came last is what the ledger holds."""
    caplog.set_level(logging.INFO, "tollkeeper.rates")
    file = tmp_path / "rates.csv"
    async with stand(tmp_path, {"currency": {"code": "SEK", "ecb_file": str(file), "ecb_url": bank}}) as place:
        app = place.app
        assert app.reports.rates("SEK") == ()
        rates = ExchangeRates(app.ledger, app.live, app._clock, look_s=0.01)
        job = asyncio.create_task(rates.run())

        async def told() -> bool:
            return rates.problem is not None and "rates.fetch_failed" in caplog.text

        await eventually(told)
        assert not file.exists()
        _Rates.body = FILE.encode()
        rates._not_before_s = 0.0  # the next try is due

        async def held() -> bool:
            return bool(app.reports.rates("SEK")) and rates.problem is None

        await eventually(held)
        assert file.read_bytes() == FILE.encode()
        assert [step.usd_rate for step in app.reports.rates("SEK")] == ["9", "10"]
        asked = _Rates.asked
        file.write_text(FILE.replace("2026-09-22,1.25,12.5", "2026-09-22,1.25,15"))  # brought by somebody
        os.utime(file, ns=(file.stat().st_atime_ns, file.stat().st_mtime_ns + 1))

        async def joined() -> bool:
            return app.reports.rates("SEK")[-1].usd_rate == "12"

        await eventually(joined)
        assert [step.usd_rate for step in app.reports.rates("SEK")] == ["9", "10", "12"]  # the past is as it was
        assert _Rates.asked == asked  # it is young
        job.cancel()
        await asyncio.gather(job, return_exceptions=True)
