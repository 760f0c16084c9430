"""The cost of each generation of a time: the usual shape is read at once, any other as its model reads it."""

import json
import random
from typing import Any

import pytest

from proxy.providers.account import costs_answer
from proxy.providers.account.costs_answer import read_costs
from proxy.providers.account.source import AnswerError

ODD: tuple[Any, ...] = (None, True, "much", "0.5", -1, -0.25, 10**30, [], {}, "", "a\x1b\ud800", 1e-13, 0.1, 7)


def answers() -> list[Any]:
    """Return answers of the usual shape with one thing in them that is not."""
    chance, found = random.Random(5), list[Any]()
    for _ in range(300):
        rows = [{"generation_id": f"gen-{n % 3}", "total_usage": chance.random()} for n in range(chance.randrange(5))]
        metadata: dict[str, Any] = {"row_count": len(rows), "truncated": False}
        answer: dict[str, Any] = {"data": {"data": rows, "metadata": metadata}}
        place = chance.choice([answer, answer["data"], metadata, *rows, *rows])
        name = chance.choice([*place])
        if chance.random() < 0.2:
            del place[name]
        else:
            place[name] = chance.choice(ODD)
        found.append(answer)
    return [*found, [], {}, {"data": {"data": {}, "metadata": {}}}, {"data": {"data": [1], "metadata": {}}}]


def test_an_answer_is_read_as_its_model_reads_it(monkeypatch: pytest.MonkeyPatch) -> None:
    bodies = [json.dumps(answer).encode() for answer in answers()]
    quick = [read_costs(body) for body in bodies]

    def by_model(found: Any) -> Any:
        result = costs_answer._CostsAnswer.read(found).data
        return [(row.generation_id, row.total_usage) for row in result.data], result.metadata

    monkeypatch.setattr(costs_answer, "_rows_of", by_model)
    assert quick == [read_costs(body) for body in bodies]
    assert len({taken.problem for _, taken in quick}) > 1
    assert sum(not taken.problem for _, taken in quick) > 50


def test_the_usual_shape_needs_no_model(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: Any) -> Any:
        raise AnswerError("needed")

    monkeypatch.setattr(costs_answer._CostsAnswer, "read", refuse)
    row = {"generation_id": "gen-1", "total_usage": 0.000001}
    body = json.dumps({"data": {"data": [row, row], "metadata": {"truncated": False}}}).encode()
    assert read_costs(body) == ({"gen-1": 2_000_000}, (1, False, "", ""))
