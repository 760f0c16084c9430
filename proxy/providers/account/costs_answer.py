"""OpenRouter's answer to POST /analytics/query: the cost of each generation of a time, as many as an hour has."""

import asyncio

from pydantic import ValidationError

from proxy.providers.account.amounts import AnswerPart, Count, Name, Pusd, places_of
from proxy.providers.account.source import TakenCosts
from proxy.wire.amount import read_exactly


class _CostRow(AnswerPart):
    generation_id: Name = ""
    total_usage: Pusd


class _QueryMetadata(AnswerPart):
    row_count: Count | None = None
    truncated: bool


class _QueryResult(AnswerPart):
    data: tuple[_CostRow, ...]
    metadata: _QueryMetadata


class _CostsAnswer(AnswerPart):
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
        result = _CostsAnswer.model_validate(found).data
    except ValidationError as error:
        place = places_of(error.errors(include_url=False, include_input=False, include_context=False))
        return {}, TakenCosts(problem="shape", place=place)
    costs: dict[str, int] = {}
    for row in result.data:
        if row.generation_id:
            costs[row.generation_id] = costs.get(row.generation_id, 0) + row.total_usage
    count = result.metadata.row_count
    is_truncated = result.metadata.truncated or (count is not None and count > len(result.data))
    return costs, TakenCosts(len(costs), is_truncated)


async def count_costs(body: bytes) -> TakenCosts:
    """Read an answer, and keep nothing of it."""
    return (await asyncio.to_thread(read_costs, body))[1]
