"""OpenRouter's answer to POST /analytics/query: the cost of each generation of a time, as many as an hour has."""

from collections.abc import Sequence
from typing import Any, Final

import msgspec

from proxy.core.money import usd_to_pusd
from proxy.providers.account.amounts import AnswerPart, Count, Name, Pusd, money_of, name_of, signed_pusd
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


class _PlainRow(msgspec.Struct, gc=False):
    total_usage: msgspec.Raw
    generation_id: str = ""


class _PlainResult(msgspec.Struct, gc=False):
    data: list[_PlainRow]
    metadata: msgspec.Raw


class _PlainAnswer(msgspec.Struct, gc=False):
    data: _PlainResult


_decode: Final = msgspec.json.Decoder(_PlainAnswer).decode
_PLAIN_ID_CHARS: Final = 128  # of nearly every id
_Told = tuple[Sequence[tuple[str, int]], _QueryMetadata]
"""Ids with amounts in pico-USD, and what an answer says of itself."""


def read_costs(body: bytes) -> tuple[dict[str, int], TakenCosts]:
    """Return what each generation was charged in pico-USD, and what the answer was; rows that name none are left out.

    What a generation was charged several times is added up. Equal rows count once where the answer says that it
    has as many rows as are left then: pages of it overlapped. Without that, no charge is taken for a copy.

    Half a second's work for a hundred thousand rows, during which Python gives nobody else the interpreter for tens of
    milliseconds: where requests wait it is for short answers only.
    """
    told = _plain_rows(body)
    if told is None:
        found = read_exactly(body)
        if not isinstance(found, dict | list):
            return {}, TakenCosts(problem="no_json")
        if isinstance(found, dict) and isinstance(found.get("error"), dict) and "data" not in found:
            return {}, TakenCosts(problem="error")
        try:
            told = _rows_of(found)
        except AnswerError as error:
            return {}, TakenCosts(problem="shape", place=error.place)
    rows, metadata = told
    costs = dict(rows)
    if len(costs) < len(rows):  # some are charged for more than once, or told more than once
        once = _once(rows)
        rows = once if metadata.row_count == len(once) else rows
        costs = dict.fromkeys(costs, 0)
        for id_, pusd in rows:
            costs[id_] += pusd
    costs.pop("", None)
    is_truncated = metadata.truncated or (metadata.row_count is not None and metadata.row_count > len(rows))
    return costs, TakenCosts(len(costs), is_truncated)


def _once(rows: Sequence[tuple[str, int]]) -> Sequence[tuple[str, int]]:
    """Return rows without copies; those that name no generation may be of several."""
    return [*dict.fromkeys(row for row in rows if row[0]), *(row for row in rows if not row[0])]


def _plain_rows(body: bytes) -> _Told | None:
    """Return what _rows_of() does of an answer in which nothing is odd, in half the time; None: it has to be read."""
    try:
        answer = _decode(body).data
        ids = [row.generation_id for row in answer.data]
        together = "".join(ids)
        if not (together.isascii() and together.isprintable()) or len(max(ids, key=len, default="")) > _PLAIN_ID_CHARS:
            ids = [name_of(id_) for id_ in ids]
        literals = [str(row.total_usage, "ascii") for row in answer.data]
        costs = [signed_pusd(text) if text[0] == "-" else usd_to_pusd(text)[0] for text in literals]
        return [*zip(ids, costs, strict=True)], _QueryMetadata.read(read_exactly(bytes(answer.metadata)))
    except (msgspec.MsgspecError, RecursionError, ValueError):  # the last: also an amount that is no plain number
        return None


def _rows_of(found: Any) -> _Told:
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
