"""Bars of attempts stay within the width, to one scale, each at least one cell."""

import random

from proxy.cli.timeline import LETTERS, Span, bars


def test_two_attempts() -> None:
    assert bars([Span(0, None, 100), Span(150, 250, 400)], 40, LETTERS) == [
        "." * 10,
        " " * 15 + "." * 10 + "#" * 15,
    ]
    assert bars([Span(0, 0, 0)], 10, LETTERS) == ["#"]
    assert bars([Span(0, None, 0)], 10, LETTERS) == ["."]
    assert bars([], 10) == []


def test_any_spans_fit() -> None:
    chance = random.Random(3)
    for _ in range(300):
        width, starts = chance.randint(1, 60), sorted(chance.randrange(10_000) for _ in range(chance.randint(1, 6)))
        spans = []
        for start in starts:
            end = start + chance.randrange(5000)
            spans.append(Span(start, chance.choice((None, chance.randint(start, end))), end))
        for span, bar in zip(spans, bars(spans, width, LETTERS), strict=True):
            assert 1 <= len(bar) <= width
            assert bar.strip(" ") != ""
            assert ("#" in bar) == (span.first_ms is not None)
