"""A part of a management answer is read field by field; what is wrong is told by its place, and no value is shown."""

from collections.abc import Mapping
from typing import Any

import pytest

from proxy.providers.account.amounts import AnswerPart, CentsPusd, Count, Day, FilledName, Flag, Moment, Name, Pusd
from proxy.providers.account.source import AnswerError
from proxy.wire.amount import read_exactly


class _Layer(AnswerPart, frozen=True, kw_only=True):
    name: FilledName
    cents: CentsPusd = 0


class _Key(AnswerPart, frozen=True, kw_only=True):
    label: Name = ""
    limit: Pusd | None = None
    usage: Pusd
    is_free: Flag = False
    is_cut: bool = False
    ends: Moment = None
    day: Day | None = None
    layers: tuple[_Layer, ...] | None = None
    by_name: Mapping[str, Count] = {}
    rest: Any = None


class _Answer(AnswerPart, frozen=True, kw_only=True):
    data: _Key


def key(text: str) -> _Key:
    """Return the key that an answer tells, given what stands in it."""
    return _Answer.read(read_exactly(f'{{"data": {{{text}}}, "beside": 1}}'.encode())).data


def test_what_is_there_is_read_and_the_rest_is_as_by_default() -> None:
    assert key('"usage": 0.1234567890123456, "beside": {}') == _Key(usage=123_456_789_013)
    found = key(
        '"usage": -1, "layers": [{"name": "a", "cents": "250"}, {"name": "b"}], "by_name": {"x": 2.0}, "rest": []'
    )
    assert found.usage == -(10**12)
    assert found.layers == (_Layer(name="a", cents=2_500_000_000_000), _Layer(name="b"))
    assert (found.by_name, found.rest) == ({"x": 2}, [])


def test_null_is_no_amount_and_what_nothing_rests_on_may_be_odd() -> None:
    found = key('"usage": 1, "limit": null, "layers": null, "label": 7, "is_free": "yes", "ends": "soon", "day": null')
    assert found == _Key(usage=10**12, unread=("ends",))


@pytest.mark.parametrize(
    ("text", "place"),
    [
        ("", "data.usage: missing"),
        ('"usage": null', "data.usage: not a number"),
        ('"usage": "secret"', "data.usage: not a decimal number"),
        ('"usage": 1, "limit": {"secret": 1}', "data.limit: not a number"),
        ('"usage": 1, "is_cut": "secret"', "data.is_cut: neither true nor false"),
        ('"usage": 1, "day": "secret"', "data.day: not a date"),
        ('"usage": 1, "day": 1', "data.day: not a date"),
        ('"usage": 1, "layers": {"secret": 1}', "data.layers: not a list"),
        ('"usage": 1, "layers": [{"name": "a"}, {"name": ""}]', "data.layers.1.name: empty"),
        ('"usage": 1, "layers": ["secret"]', "data.layers.0: not an object"),
        ('"usage": 1, "by_name": {"x": 1, "y": 1.5}', "data.by_name.y: not a whole number"),
        ('"usage": 1, "by_name": ["secret"]', "data.by_name: not an object"),
    ],
)
def test_what_is_wrong_is_told_by_its_place(text: str, place: str) -> None:
    with pytest.raises(AnswerError) as error:
        key(text)
    assert error.value.place == place


def test_what_is_no_object_at_all_is_told() -> None:
    with pytest.raises(AnswerError, match=r"^not an object$"):
        _Answer.read([])


def test_a_field_that_nothing_reads_is_a_mistake_of_ours() -> None:
    class Odd(AnswerPart, frozen=True, kw_only=True):
        seconds: float

    with pytest.raises(TypeError, match="nothing reads <class 'float'>"):
        Odd.read({"seconds": 1.5})
