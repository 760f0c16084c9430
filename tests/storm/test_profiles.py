"""The short storm over all profiles; and proof that the comparison sees what it should."""

import asyncio
from pathlib import Path
from typing import Any

import pytest

from .client import Seen
from .profile_draw import draw_asks
from .profile_storm import Outcome, _compare, profile_storm
from .sections import profiles_result

pytestmark = pytest.mark.slow

SEED = 20_261_129
REQUESTS = 300
KILLS = 2


@pytest.fixture(scope="module")
def outcome(tmp_path_factory: pytest.TempPathFactory) -> Outcome:
    folder: Path = tmp_path_factory.mktemp("profiles-storm")
    run = profile_storm(SEED, REQUESTS, KILLS, folder, clients=20, say=lambda _done, _what: None)
    return asyncio.run(run)


@pytest.mark.sampled(0.3, "long")
def test_books_and_ledger_agree(outcome: Outcome) -> None:
    assert profiles_result(outcome).differences == []


def test_the_storm_was_one(outcome: Outcome) -> None:
    assert outcome.facts["requests sent"] == REQUESTS
    assert outcome.facts["kills of the proxy"] == KILLS
    assert outcome.facts["requests that were billed"] > REQUESTS / 3
    assert outcome.verdicts["exact"] > REQUESTS / 3
    assert any("left" in name for name in outcome.clients)


ASK = draw_asks(SEED, 1)[0]
ROW: dict[str, Any] = {
    "session_id": ASK.session,
    "state": "settled",
    "cost_pusd": 100,
    "cost_source": "price",
    "flags": None,
    "error": None,
    "provider": "groq",
    "generation_id": "chatcmpl-1",
    "attempts": 1,
}
SPOILS: dict[str, tuple[list[dict[str, Any]], int, str]] = {
    "one too little": ([ROW], 101, "lower than the bill"),
    "one too much": ([ROW], 99, "above the bill without a flag"),
    "a flag does not excuse too little": ([{**ROW, "flags": "usage_missing"}], 101, "lower than the bill"),
    "a hang-up is no flag": ([{**ROW, "flags": "client_gone"}], 99, "above the bill without a flag"),
    "no row": ([], 5, "no row"),
    "an open row": ([{**ROW, "state": "open"}], 100, "still open"),
    "a row without a cost": ([{**ROW, "cost_pusd": None}], 100, "lower than the bill"),
}


@pytest.mark.parametrize(("rows", "billed", "text"), SPOILS.values(), ids=SPOILS)
def test_the_comparison_sees(rows: list[dict[str, Any]], billed: int, text: str) -> None:
    found = _compare([Seen(ASK, 1)], {ASK.session: billed}, rows).differences
    assert len(found) == 1
    assert text in found[0].text


def test_the_comparison_takes_what_is_right() -> None:
    for rows, billed in (([ROW], 100), ([{**ROW, "flags": "crash"}], 40), ([], 0)):
        assert _compare([Seen(ASK, 1)], {ASK.session: billed}, rows).differences == []
    assert len(_compare([], {"p-strange": 5}, []).differences) == 1


def test_a_dear_look_up_is_a_difference() -> None:
    dear = Outcome()
    dear.known.add(102, 100)
    assert len(profiles_result(dear).differences) == 1
