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

    monkeypatch.setattr(costs_answer, "_plain_rows", lambda _: None)
    assert quick == [read_costs(body) for body in bodies]
    monkeypatch.setattr(costs_answer, "_rows_of", by_model)
    assert quick == [read_costs(body) for body in bodies]
    assert len({taken.problem for _, taken in quick}) > 1
    assert sum(not taken.problem for _, taken in quick) > 50


LITERALS: tuple[bytes, ...] = (
    *(b"0.000168", b"1.68e-4", b"-0.5", b"-0", b"0.00000000000000001", b"1e400", b"NaN", b"-Infinity", b"00.5", b".5"),
    *(b'"0.5"', b'"x"', b"null", b"true", b"{}", b"[0.5]", b"1" * 70, b"0." + b"1" * 70, b"5.", b"0x5", b"1_0", b""),
)
ODD_TEXTS: tuple[bytes, ...] = (
    *(b"gen-1", b"gen-\xc3\xa9", b"gen-\xff", b"\\u00e9", b"\\ud800", b"\\ud83d\\ude00", b"\\x", b"a\nb", b"\\u0000"),
    *(b"x" * 600, b"", b'\\"', b"\\"),
)


def odd_bodies() -> list[bytes]:
    """Return answers whose amounts and ids are written in every way, and such with one byte too many or too few."""
    row, answer = b'{"generation_id":"%b","total_usage":%b}', b'{"data":{"data":[%b],"metadata":{"truncated":false}}}'
    found = [answer % (row % (text, literal)) for text in ODD_TEXTS for literal in LITERALS]
    plain = answer % b",".join([row % (b"gen-1", b"0.1")] * 2)
    found += [
        plain[:at] + more + plain[at + cut :] for at in range(len(plain)) for more, cut in ((b"", 1), (b"\xff", 0))
    ]
    found += [
        plain[:at] + more + plain[at:] for at in range(len(plain)) for more in (b" ", b"0", b"-", b'"', b"\0", b"{")
    ]
    twice = (b'"data":1,"data"', b'"data":{"data":[]},"data"', b'"generation_id":"x","generation_id"')
    found += [plain.replace(each.rpartition(b",")[2], each, 1) for each in twice]
    deep = b"[" * 3000 + b"]" * 3000
    return [*found, b"\xef\xbb\xbf" + plain, b'{"more":%b,' % deep + plain[1:], b'{"more":nul,' + plain[1:]]


def test_no_way_of_writing_it_is_read_otherwise(monkeypatch: pytest.MonkeyPatch) -> None:
    bodies = odd_bodies()
    quick = [read_costs(body) for body in bodies]
    were_plain = sum(costs_answer._plain_rows(body) is not None for body in bodies)
    monkeypatch.setattr(costs_answer, "_plain_rows", lambda _: None)
    differences = [(body, found) for body, found in zip(bodies, quick, strict=True) if found != read_costs(body)]
    assert not differences
    assert 100 < were_plain < len(bodies) - 100


@pytest.mark.parametrize(
    ("rows", "row_count", "cost_pusd"),
    [
        (("a 2", "b 1", "a 2"), 2, 2),  # pages overlapped
        (("a 2", "a 2", "a 2", "b 1"), 2, 2),
        (("a 2", "b 1", "a 2"), 3, 4),  # charged twice
        (("a 2", "b 1", "a 2"), None, 4),  # nobody says
        (("a 2", "b 1", "a 2"), 1, 4),  # neither fits
        (("a 2", "a 3", "b 1"), 2, 5),  # no copy of the other
        (("a 2", "a -1", "b 1"), 3, 1),  # a refund
        (("a 2", "a 2", "a -1", "b 1"), 3, 1),
        (("a 2", " 1", " 1", "a 2"), 3, 2),  # rows without a name may be of several
        (("a 2", " 1", " 1", "a 2"), 2, 4),
        (("a 2", "b 1"), 2, 2),
    ],
)
@pytest.mark.parametrize("is_plain", [True, False])
def test_equal_rows_are_copies_only_where_the_answer_counts_them_once(
    rows: tuple[str, ...], row_count: int | None, cost_pusd: int, is_plain: bool
) -> None:
    told = [
        {"generation_id": id_, "total_usage": int(usd) if is_plain else usd}
        for id_, _, usd in (row.partition(" ") for row in rows)
    ]
    metadata = {"truncated": False} | ({} if row_count is None else {"row_count": row_count})
    costs, taken = read_costs(json.dumps({"data": {"data": told, "metadata": metadata}}).encode())
    assert costs["a"] == cost_pusd * 10**12
    assert (taken.calls, taken.is_truncated, taken.problem) == (len({row[0] for row in rows} - {" "}), False, "")


def test_the_usual_shape_needs_no_model(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: Any) -> Any:
        raise AnswerError("needed")

    monkeypatch.setattr(costs_answer._CostsAnswer, "read", refuse)
    row = {"generation_id": "gen-1", "total_usage": 0.000001}
    body = json.dumps({"data": {"data": [row, row], "metadata": {"truncated": False}}}).encode()
    assert read_costs(body) == ({"gen-1": 2_000_000}, (1, False, "", ""))
