"""OpenRouter's answer to POST /analytics/query: the cost of each generation of a time, as many as an hour has."""

from collections.abc import Sequence
from typing import Any

from proxy.providers.account.amounts import AnswerPart, Count, Name, Pusd, money_of, name_of
from proxy.providers.account.source import AnswerError, TakenCosts
from proxy.wire.amount import read_exactly


class _CostRow(AnswerPart, frozen=True, kw_only=True):
    generation_id: Name = ""
    total_usage: Pusd


class _QueryMetadata(AnswerPart, frozen=True, kw_only=True):
    row_count: Count | None = None
    truncated: bool


class _QueryResult(AnswerPart, frozen=True, kw_only=True):
    data: tuple[_CostRow, ...]
    metadata: _QueryMetadata


class _CostsAnswer(AnswerPart, frozen=True, kw_only=True):
    data: _QueryResult


def read_costs(body: bytes) -> tuple[dict[str, int], TakenCosts]:
    """Return what each generation was charged in pico-USD, and what the answer was; rows that name none are left out.

    Half a second's work for a hundred thousand rows, during which Python gives nobody else the interpreter for tens of
    milliseconds: where requests wait it is for short answers only.
    """
    found = read_exactly(body)
    if not isinstance(found, dict | list):
        return {}, TakenCosts(problem="no_json")
    if isinstance(found, dict) and isinstance(found.get("error"), dict) and "data" not in found:
        return {}, TakenCosts(problem="error")
    try:
        rows, metadata = _rows_of(found)
    except AnswerError as error:
        return {}, TakenCosts(problem="shape", place=error.place)
    costs: dict[str, int] = {}
    for id_, pusd in rows:
        if id_:
            costs[id_] = costs.get(id_, 0) + pusd
    is_truncated = metadata.truncated or (metadata.row_count is not None and metadata.row_count > len(rows))
    return costs, TakenCosts(len(costs), is_truncated)


def _rows_of(found: Any) -> tuple[Sequence[tuple[str, int]], _QueryMetadata]:
    """Return ids with amounts, by the shape that all answers have; raises AnswerError, which says what is wrong.

    The models read any answer, and take four times as long for each row.
    """
    try:
        rows, metadata = found["data"]["data"], found["data"]["metadata"]
        if type(rows) is list:
            told = [(name_of(row.get("generation_id", "")), money_of(row["total_usage"])) for row in rows]
            return told, _QueryMetadata.read(metadata)
    except (AttributeError, KeyError, TypeError, ValueError):  # the models say what and where
        pass
    result = _CostsAnswer.read(found).data
    return [(row.generation_id, row.total_usage) for row in result.data], result.metadata
