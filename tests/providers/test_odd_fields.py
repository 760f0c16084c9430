"""Which field of a management answer may make no sense, field by field: what money depends on may not, the rest may."""

from collections.abc import Callable, Mapping
from typing import Any, Final

import orjson
import pytest
from msgspec import Struct
from msgspec.structs import fields

from proxy.providers.account.amounts import AnswerPart
from proxy.providers.account.openrouter_answers import ActivityAnswer, CreditsAnswer, KeyAnswer, KeyListAnswer
from proxy.providers.account.organization_answers import (
    AnthropicCosts,
    AnthropicUsages,
    OpenAICosts,
    OpenAIUsages,
    read_bill_page,
)
from proxy.providers.account.source import AnswerError
from proxy.wire.amount import read_exactly

_BUDGET: Final = {"scope": "member", "limit_usd": 5, "spend_usd": 1, "remaining_usd": 4}
_FIGURES: Final = {"limit": 5, "limit_remaining": 4, "usage": 1, "usage_daily": 1, "byok_usage": 1}
_KEY: Final = {**_FIGURES, "budgets": [_BUDGET], "free_model_daily_requests": {"used": 1, "limit": 2, "remaining": 1}}
_LISTED: Final = {**_FIGURES, "hash": "h", "name": "n"}
_ROW: Final = {"date": "2026-11-02", "model": "a/m", "usage": 1, "requests": 1, "prompt_tokens": 1}
_ODD: Final[tuple[Any, ...]] = ("abc", [], {}, True, "NaN", "1e999", ["1"], {"usd": 1})


class _Fields(Struct, frozen=True):
    """The fields of one part. An odd value is an error in a strict one, unknown in a loose one, "" in a plain one."""

    part: type[AnswerPart]
    whole: Callable[[Any], Any]
    entry: Mapping[str, Any]
    strict: str = ""
    loose: str = ""
    plain: str = ""


def _data(answer: type[AnswerPart], *, is_list: bool) -> tuple[type[AnswerPart], Callable[[Any], Any]]:
    """Return the part under data, and what reads one from JSON."""
    (field,) = (one for one in fields(answer) if one.name == "data")
    part = field.type.__args__[0] if is_list else field.type

    def read(entry: Any) -> Any:
        found: Any = answer.read(read_exactly(orjson.dumps({"data": [entry] if is_list else entry})))
        return found.data[0] if is_list else found.data

    return part, read


_SPENT: Final = "limit limit_remaining limit_reset expires_at" + "".join(
    f" {name}" for kind in ("usage", "byok_usage") for name in (f"{kind}_daily", f"{kind}_weekly", f"{kind}_monthly")
)
TABLE: Final = {
    "/key": _Fields(
        *_data(KeyAnswer, is_list=False),
        _KEY,
        strict="usage",
        loose=f"{_SPENT} byok_usage budgets free_model_daily_requests",
        plain="label include_byok_in_limit is_free_tier is_management_key is_provisioning_key",
    ),
    "/keys": _Fields(
        *_data(KeyListAnswer, is_list=True),
        _LISTED,
        strict="usage",
        loose=f"{_SPENT} byok_usage created_at last_used_at",
        plain="label name include_byok_in_limit disabled hash",  # of the hash by a test of its own
    ),
    "/activity": _Fields(
        *_data(ActivityAnswer, is_list=True),
        _ROW,
        strict="date usage byok_usage_inference",
        loose="requests prompt_tokens completion_tokens reasoning_tokens cached_tokens",
        plain="model model_permaslug endpoint_id provider_name",
    ),
    "/credits": _Fields(
        *_data(CreditsAnswer, is_list=False),
        {"total_credits": 2, "total_usage": 1},
        strict="total_credits total_usage",
    ),
}
_STRICT: Final = [(path, name) for path, one in TABLE.items() for name in one.strict.split()]
_LOOSE: Final = [(path, name) for path, one in TABLE.items() for name in one.loose.split()]
_PLAIN: Final = [(path, name) for path, one in TABLE.items() for name in one.plain.split() if name != "hash"]


@pytest.mark.parametrize("path", TABLE)
def test_every_field_is_in_the_table(path: str) -> None:
    one = TABLE[path]
    known = [*one.strict.split(), *one.loose.split(), *one.plain.split()]
    assert sorted(known) == sorted(field.name for field in fields(one.part) if field.name != "unread")


@pytest.mark.parametrize(("path", "name"), _STRICT)
def test_what_money_depends_on_is_an_error_and_never_nothing(path: str, name: str) -> None:
    for odd in (*_ODD, None):
        with pytest.raises(AnswerError, match=name):
            TABLE[path].whole({**TABLE[path].entry, name: odd})


def _odd_for(name: str) -> list[Any]:
    """Return the values that make no sense there: a text does for a text, a list for a list."""
    if name == "limit_reset":
        return [odd for odd in _ODD if not isinstance(odd, str)]
    return [odd for odd in _ODD if odd != []] if name == "budgets" else [*_ODD]


@pytest.mark.parametrize(("path", "name"), _LOOSE)
def test_what_nothing_rests_on_is_unknown_and_told(path: str, name: str) -> None:
    usual = TABLE[path].whole(TABLE[path].entry)
    assert usual.unread == ()
    for odd in _odd_for(name):
        found = TABLE[path].whole({**TABLE[path].entry, name: odd})
        if (name, odd) == ("budgets", ["1"]):
            assert (found.budgets, found.all_unread()) == ((None,), ("budgets",))
            continue
        assert (getattr(found, name), found.unread) == (None, (name,)), odd
        assert found.usage == usual.usage


@pytest.mark.parametrize(("path", "name"), _PLAIN)
def test_names_and_flags_that_make_no_sense_are_none(path: str, name: str) -> None:
    texts: tuple[Any, ...] = ([], {}, 7, ["1"])
    for odd in texts:
        assert not getattr(TABLE[path].whole({**TABLE[path].entry, name: odd}), name)


def test_a_key_without_its_hash_is_no_key() -> None:
    with pytest.raises(AnswerError, match=r"data\.0\.hash: empty"):
        TABLE["/keys"].whole({**_LISTED, "hash": 7})


def test_what_stands_beside_is_not_looked_at() -> None:
    for path, one in TABLE.items():
        for odd in _ODD:
            assert one.whole({**one.entry, "tags": odd, "unread": odd}) == one.whole(one.entry), path


def test_one_budget_that_makes_no_sense_leaves_the_others() -> None:
    budgets = [{**_BUDGET, "limit_usd": "much"}, {**_BUDGET, "resets_at": 7}, "none"]
    status = KeyAnswer.read(read_exactly(orjson.dumps({"data": {**_KEY, "budgets": budgets}}))).status()
    assert [(layer.scope, layer.resets_at) for layer in status.layers()] == [("member", None)]
    assert status.unread == ("budgets.resets_at", "budgets")


def test_a_limit_that_makes_no_sense_is_no_budget() -> None:
    for name in ("limit", "limit_remaining"):
        status = KeyAnswer.read(read_exactly(orjson.dumps({"data": {**_FIGURES, name: "abc"}}))).status()
        assert (status.layers(), status.unread) == ((), (name,))


def test_what_others_bill_is_not_nothing_where_it_makes_no_sense() -> None:
    (key,) = KeyListAnswer.read(read_exactly(orjson.dumps({"data": [{**_LISTED, "byok_usage": []}]}))).keys()
    assert (key.byok_used, key.unread) == (None, ("byok_usage",))


def _page(result: Any, **more: Any) -> Any:
    return read_exactly(orjson.dumps({"data": [{"results": [result]}], "has_more": False, **more}))


def test_organisations_bills_are_strict_in_amounts_and_loose_in_counts() -> None:
    cost = {"amount": {"value": 1, "currency": "usd"}, "line_item": "m"}
    for odd in (*_ODD, None):
        with pytest.raises(AnswerError, match="amount"):
            read_bill_page(_page({**cost, "amount": {"value": odd, "currency": "usd"}}), OpenAICosts)
        with pytest.raises(AnswerError, match="amount"):
            read_bill_page(_page({"amount": odd, "currency": "USD"}), AnthropicCosts)
    for odd in _ODD:
        ((one,), _) = read_bill_page(_page({"model": "m", "input_tokens": odd, "output_tokens": 7}), OpenAIUsages)
        openai = one.results[0].tokens()
        assert (openai.prompt, openai.completion, openai.requests, openai.cached) == (None, 7, None, 0)
        ((two,), _) = read_bill_page(
            _page({"uncached_input_tokens": 1, "cache_read_input_tokens": odd}), AnthropicUsages
        )
        anthropic = two.results[0].tokens()
        assert (anthropic.prompt, anthropic.cached) == (None, None)


def test_a_page_that_says_there_is_more_and_not_where_is_no_whole_bill() -> None:
    cost = {"amount": "1", "currency": "USD"}
    nowhere: tuple[Any, ...] = (None, 7, "", [])
    for odd in nowhere:
        with pytest.raises(AnswerError, match="next_page: missing"):
            read_bill_page(_page(cost, has_more=True, next_page=odd), AnthropicCosts)
