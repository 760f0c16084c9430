"""The numbers in the operator's pages are what the program computes."""

from pathlib import Path
from zoneinfo import ZoneInfo

from proxy.core.money import pusd_to_usd, usd_to_pusd
from proxy.policy.pricing import (
    BodyFacts,
    ClampedOutput,
    Override,
    Price,
    UnaffordableOutput,
    clamp_output_tokens,
    input_bound_tokens,
    worst_case_pusd,
)
from proxy.policy.quota import Amounts, Hold, LimitExceeded, Quota, QuotaBook, scopes_of
from tests.policy.made_price import price_from_config

CONCEPTS = Path(__file__).parents[2] / "docs" / "concepts"
MINI = price_from_config(input="0.25", output="2", cached="0.025", context_tokens=400000, output_max_tokens=128000)
HAIKU = price_from_config(input="1", output="5", cached="0.1", cache_write="1.25", context_tokens=200000)
GPT_4O = price_from_config(input="2.50", output="10", context_tokens=128000, output_max_tokens=16384)
GEMINI = Price(
    input_ausd=125 * 10**10,
    output_ausd=10**13,
    overrides=(Override((("input_ausd", 25 * 10**11), ("output_ausd", 15 * 10**12)), min_prompt_tokens=200_000),),
    context_tokens=1048576,
)
EXAMPLES: list[tuple[Price, BodyFacts]] = [
    (MINI, BodyFacts(2000, 500)),
    (MINI, BodyFacts(2000, 500, has_tools=True)),
    (MINI, BodyFacts(2000, 500, choices=3)),
    (HAIKU, BodyFacts(2000, 500)),
    (GPT_4O, BodyFacts(52_000, 500, images=1, data_url_bytes=50_000)),
    (GEMINI, BodyFacts(199_744, 1000)),
    (GEMINI, BodyFacts(199_745, 1000)),
]


def _table(page: str, heading: str, columns: int) -> list[list[str]]:
    text = (CONCEPTS / page).read_text(encoding="utf-8")
    lines = text[text.index(heading) :].splitlines()
    begin = next(i for i, line in enumerate(lines) if line[:1] == "|")
    end = next((i for i, line in enumerate(lines) if i > begin and line[:1] != "|"), len(lines))
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines[begin:end]]
    assert {len(row) for row in rows} == {columns}
    return rows[2:]


def test_the_worked_examples_of_the_bound_are_true() -> None:
    rows = _table("pricing.md", "### Worked examples", 5)
    assert len(rows) == len(EXAMPLES)
    for row, (price, facts) in zip(rows, EXAMPLES, strict=True):
        assert row[2] == f"{input_bound_tokens(price, facts):,}"
        assert row[3] == f"{(facts.max_output_tokens or 0) * facts.choices:,}"
        assert row[4] == "$" + pusd_to_usd(worst_case_pusd([price], facts))


def test_the_examples_of_lowering_are_true() -> None:
    rows = _table("pricing.md", "Examples for openai/gpt-5-mini", 3)
    assert len(rows) == 4
    for left, sent, held in rows:
        result = clamp_output_tokens([MINI], BodyFacts(2000, 32000), usd_to_pusd(left.removeprefix("$"))[0])
        if isinstance(result, ClampedOutput):
            assert (sent, held) == (f"{result.max_tokens:,}", "$" + pusd_to_usd(result.reserve_pusd))
        else:
            assert isinstance(result, UnaffordableOutput)
            needed, floor, fits = pusd_to_usd(result.needed_pusd), result.floor_tokens, result.affordable_tokens
            assert sent == f"refused: it needs ${needed} for {floor} tokens; {fits} would fit"


def test_the_worked_example_of_quotas_is_true() -> None:
    book, anna, now_ms = QuotaBook(ZoneInfo("UTC")), scopes_of("anna", "family"), 1_792_900_000_000
    cent = 10**10
    quotas = [Quota("user:anna", "cost", 500 * cent, "day"), Quota("group:family", "cost", 5000 * cent, "month")]
    book.check_and_reserve("before", anna, now_ms, Amounts(490 * cent, 1), quotas)
    book.settle("before", 490 * cent, 1)
    book.check_and_reserve("held", anna, now_ms, Amounts(4 * cent, 1), quotas)
    book.check_and_reserve("others", ("group:family",), now_ms, Amounts((2000 - 490) * cent, 1), [])
    book.settle("others", (2000 - 490) * cent, 1)
    assert isinstance(book.check_and_reserve("A", anna, now_ms, Amounts(5 * cent, 1), quotas), Hold)
    refused = book.check_and_reserve("B", anna, now_ms, Amounts(2 * cent, 1), quotas)
    assert isinstance(refused, LimitExceeded)
    assert refused.only_reservations_in_way
    book.settle("A", cent // 5, 1)
    assert isinstance(book.check_and_reserve("B", anna, now_ms, Amounts(2 * cent, 1), quotas), Hold)
    refused = book.check_and_reserve("C", anna, now_ms, Amounts(10 * cent, 1), quotas)
    assert isinstance(refused, LimitExceeded)
    assert not refused.only_reservations_in_way
