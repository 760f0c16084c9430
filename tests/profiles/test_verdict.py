"""The matrix sees what it should: each way to be wrong is a fault, and what is right is none."""

from typing import Any

import pytest

from proxy.simulator.profiles.table import PROFILES
from tests.support.raw import Answer

from .cells import Cell, Column
from .stand import SPARE, Seen
from .verdict import faults

ROW: dict[str, Any] = {
    "cost_pusd": 100,
    "cost_source": "price",
    "flags": None,
    "provider": "groq",
    "output_tokens": 8,
}
JSON = [("Content-Type", "application/json")]


def seen(column: Column, answer: Answer, *, attempts: int = 1, billed: int = 100, **row: Any) -> Seen:
    return Seen(Cell(PROFILES["groq"], column), answer, {**ROW, **row}, [{}] * attempts, billed)


OK = Answer(200, JSON, b"{}")
DONE = Answer(200, JSON, b'data: {"error": {}}\n\ndata: [DONE]\n\n')
PLAIN, STREAM, MAXIMUM = Column("plain"), Column("stream"), Column("maximum")
BROKEN, SPARED = Column(None, "broken"), Column(None, "broken", spare=True)
WAITS = Column(None, "rate_limited")
RIGHT = {
    "plain": seen(PLAIN, OK),
    "stream": seen(STREAM, DONE),
    "maximum": seen(MAXIMUM, OK),
    "cut": seen(Column("cut"), DONE, cost_pusd=120, flags="answer_broken"),
    "broken": seen(BROKEN, Answer(500, JSON, b'{"error": {}}'), billed=0, cost_pusd=0),
    "spare": seen(SPARED, OK, attempts=2, provider=SPARE),
    "waits": seen(WAITS, Answer(429, [("Retry-After", "2")], b'{"error": {}}'), billed=0, cost_pusd=0),
}
WRONG = {
    "another status": seen(PLAIN, Answer(500, JSON, b"{}")),
    "a broken connection": seen(PLAIN, Answer(200, JSON, b"{}", "rst")),
    "one pico-USD too little": seen(PLAIN, OK, billed=101),
    "too little, though flagged": seen(PLAIN, OK, billed=101, flags="usage_missing"),
    "too much in silence": seen(PLAIN, OK, billed=99),
    "too much, flagged, where it is exact": seen(PLAIN, OK, billed=99, flags="usage_missing"),
    "a hang-up as a flag": seen(Column("cut"), DONE, billed=99, flags="client_gone"),
    "no cost": seen(PLAIN, OK, cost_pusd=None),
    "a stream without its end": seen(STREAM, Answer(200, JSON, b"data: {}\n\n")),
    "a cut that nobody is told of": seen(Column("cut"), Answer(200, JSON, b"data: {}\n\n")),
    "no tool": seen(Column("tools"), OK),
    "a maximum that was passed": seen(MAXIMUM, OK, output_tokens=9),
    "the first target answers": seen(SPARED, OK, attempts=2),
    "a second try before the second target": seen(SPARED, OK, attempts=3, provider=SPARE),
    "a wait that is not told": seen(WAITS, Answer(429, JSON, b'{"error": {}}'), billed=0, cost_pusd=0),
    "a wait that is too short": seen(
        WAITS, Answer(429, [("Retry-After", "1")], b'{"error": {}}'), billed=0, cost_pusd=0
    ),
    "another word": seen(
        Column(None, "bad_key"), Answer(502, JSON, b'{"error": {"code": "x"}}'), billed=0, cost_pusd=0
    ),
}


@pytest.mark.parametrize("found", RIGHT.values(), ids=RIGHT)
def test_what_is_right_is_no_fault(found: Seen) -> None:
    assert faults(found) == []


@pytest.mark.parametrize("found", WRONG.values(), ids=WRONG)
def test_what_is_wrong_is_a_fault(found: Seen) -> None:
    assert faults(found) != []
