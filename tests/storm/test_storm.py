"""The short storm: real processes, three SIGKILLs; and proof that the comparison sees what it should."""

import asyncio
import shutil
import sqlite3
from collections.abc import Iterator
from pathlib import Path

import pytest

from .compare import compare
from .draw import draw
from .limits import wide_limits
from .storm import SETTLED, Outcome, storm
from .views import LedgerView

pytestmark = pytest.mark.slow

SEED = 20_261_121
REQUESTS = 400
KILLS = 3
STOPS = 2


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("storm")


@pytest.fixture(scope="module")
def outcome(folder: Path) -> Outcome:
    plan = draw(SEED, REQUESTS, KILLS, wide_limits(), stops=STOPS)
    return asyncio.run(storm(plan, folder, clients=50, lookup_timeout_s=5, say=lambda _done, _what: None))


@pytest.fixture
def ledger_copy(outcome: Outcome, folder: Path, tmp_path: Path) -> Iterator[sqlite3.Connection]:
    """A copy of the ledger of the storm, to spoil."""
    assert outcome.facts["requests sent"] == REQUESTS
    shutil.copy(folder / SETTLED, tmp_path / "ledger.db")
    connection = sqlite3.connect(tmp_path / "ledger.db")
    with connection:  # a table, so that it can be spoiled
        connection.execute("CREATE TABLE copied AS SELECT * FROM attempts")
        connection.execute("DROP VIEW attempts")
        connection.execute("ALTER TABLE copied RENAME TO attempts")
    yield connection
    connection.close()


@pytest.mark.sampled(0.3, "long")
def test_books_ledger_and_clients_agree(outcome: Outcome) -> None:
    assert outcome.differences == []
    assert outcome.facts["kills of the proxy"] == KILLS
    assert outcome.facts["stops, and goings on"] == STOPS
    assert outcome.facts["rows in the ledger"] >= outcome.facts["generations in its books"] > REQUESTS / 3
    sources = {name.partition(", ")[2].partition(" ")[0] for name in outcome.rows}
    assert sources == {"provider", "generation", "price", "estimate", "reservation", "none"}
    assert sum(count for name, count in outcome.rows.items() if "crash" in name) > KILLS


@pytest.mark.sampled(0.3, "long")
def test_all_that_was_charged_is_booked_to_the_pico_dollar_in_the_end(outcome: Outcome) -> None:
    """The provider tells its generations later, its bill is compared twice, and a kill comes between."""
    facts = outcome.facts
    assert facts["booked in the ledger (pico-USD)"] > facts["charged in the books (pico-USD)"]
    in_the_end = "charged in the books in the end (pico-USD)"
    assert facts["booked in the ledger in the end (pico-USD)"] == facts[in_the_end]
    assert facts["attempts charged in full that the provider told later"] > 0
    assert facts["requests that the bill corrected"] > 20
    assert facts["calls without a request that were booked for nobody"] == 18


FIRST = "id = (SELECT id FROM requests WHERE cost_source = '{}' AND cost_pusd > 0)"
WHICH = {source: FIRST.format(source) for source in ("provider", "generation", "reservation")}
SPOILS = {
    "a pico-dollar more": ("UPDATE requests SET cost_pusd = cost_pusd + 1 WHERE {provider}", "in the ledger"),
    "a pico-dollar less": ("UPDATE requests SET cost_pusd = cost_pusd - 1 WHERE {generation}", "in the ledger"),
    "a row lost": ("DELETE FROM requests WHERE {provider}", "has no row in the ledger"),
    "a row doubled": (
        "UPDATE requests SET session_id = (SELECT session_id FROM requests WHERE {provider}) WHERE {reservation}",
        "2 rows in the ledger",
    ),
    "a charged row released": (
        "UPDATE requests SET state = 'released', cost_source = 'none', cost_pusd = 0 WHERE {provider}",
        "released with 0 from none, but",
    ),
    "a row left open": ("UPDATE requests SET state = 'open' WHERE {reservation}", "still open"),
    "a guess below the charge": (
        "UPDATE requests SET cost_source = 'reservation', cost_pusd = 0, reserved_pusd = 0 WHERE {provider}",
        "reservation of 0 pico-USD booked",
    ),
    "a guess that does not say so": ("UPDATE requests SET flags = NULL WHERE {reservation}", "no flag says why"),
    "an amount rounded in silence": (
        "UPDATE requests SET flags = NULL WHERE flags LIKE '%cost_rounded%'",
        "literal o",
    ),
    "an exact cost given up": (
        "UPDATE requests SET cost_source = 'reservation', cost_pusd = reserved_pusd WHERE {provider}",
        "can be looked up",
    ),
    "an attempt that costs more": (
        "UPDATE attempts SET cost_pusd = cost_pusd + 1 WHERE request_{provider}",
        "its attempts cost",
    ),
    "an attempt left open": ("UPDATE attempts SET outcome = 'open' WHERE request_{provider}", "attempt is still open"),
    "an attempt lost": ("DELETE FROM attempts WHERE request_{provider}", "in 0 attempts"),
    "a roll-up that drifts": ("UPDATE usage_hourly SET requests = requests + 1 WHERE user = 'anna'", "usage_hourly"),
    "a settlement that the client saw lost": (
        "UPDATE requests SET flags = 'crash' WHERE cost_source = 'provider' AND status = 200",
        "a crash lost its settlement",
    ),
}


@pytest.mark.parametrize("spoil", SPOILS)
def test_the_comparison_sees(outcome: Outcome, ledger_copy: sqlite3.Connection, tmp_path: Path, spoil: str) -> None:
    sql, told = SPOILS[spoil]
    with ledger_copy:
        assert ledger_copy.execute(sql.format(**WHICH)).rowcount > 0
    with LedgerView(tmp_path / "ledger.db") as ledger:
        found = compare(outcome.plan, outcome.books, ledger, outcome.seen)
    assert any(told in one.text for one in found), found[:5]


def test_the_same_seed_draws_the_same_storm() -> None:
    assert draw(7, 50, 2) == draw(7, 50, 2)
    assert draw(7, 50, 2).asks != draw(8, 50, 2).asks
