"""Blocks of settings and the checks of their types: what is taken, what is wrong, and where."""

from collections.abc import Iterator, Mapping
from decimal import Decimal
from typing import Annotated, Any, Literal, Self

import pytest

from proxy.config.block import Block, check_block, check_field, required, setting
from proxy.config.check import (
    KEY,
    NO_BLOCK,
    BlockError,
    FewestEntries,
    Otherwise,
    Reader,
    Rule,
    schema_of,
)
from proxy.config.diagnostic import SettingError
from proxy.config.scalars import PlainText
from proxy.config.schema import Settings
from proxy.config.values import Flag, Number, SecretText, Text, Whole


def _one_less(number: int) -> int:
    if number == 13:
        raise SettingError("must be luckier")
    return number - 1


def _double(number: int) -> int:
    return number * 2


class Inner(Block):
    size: Whole = setting(1, "Its size.", "Small.", ge=1, le=9)
    name: Text | None = setting(None, "Its name.", "None.")

    @check_block(mode="before")
    @classmethod
    def _short_form(cls, data: object) -> object:
        return {"name": data} if isinstance(data, str) else data


class Outer(Inner):
    """One of each kind of field."""

    key: SecretText = required("A key.")
    word: Literal["a", "b", 3] = setting("a", "A word.", "First.")
    listed: Annotated[tuple[Inner, ...], FewestEntries(1)] = setting((), "Some.", "None.")
    named: dict[Annotated[Text, Rule(str.lower)], Inner] = setting({}, "Some.", "None.")
    either: Annotated[Flag | Whole, Otherwise("must be true or false, or a whole number")] = setting(
        True, "One of two.", "True."
    )
    number: Number | None = setting(None, "A number.", "None.", gt=0)
    inner: Inner = setting(Inner, "A block.")
    ordered: Annotated[int, Reader(_double), Reader(int), Rule(_one_less), Rule(_double)] = setting(
        0, "What is done in what order.", "Nothing."
    )
    anything: dict[str, Any] = setting({}, "Anything.", "Nothing.")

    @check_field("word", mode="before")
    @classmethod
    def _lower(cls, word: object) -> object:
        return word.lower() if isinstance(word, str) else word

    @check_field("number", "size")
    @classmethod
    def _not_seven(cls, number: Any) -> Any:
        if number == 7:
            raise SettingError("must not be seven", "Take eight.")
        return number

    @check_field("either", mode="beside")
    @classmethod
    def _goes_with_word(cls, before_it: Mapping[str, Any], either: Any) -> Any:
        if before_it.get("word") == "b" and either is True:
            raise SettingError("does not go with b")
        return either

    @check_block(mode="after")
    def _is_small(self) -> Self:
        if len(self.listed) > self.size:
            raise SettingError("has more than its size", key="listed")
        return self


def faults(data: object, block: type[Block] = Outer) -> list[tuple[tuple[str | int, ...], str]]:
    with pytest.raises(BlockError) as caught:
        block.read(data)
    return [(fault.path, fault.error.must) for fault in caught.value.faults]


def test_what_is_written_becomes_what_is_read() -> None:
    found = Outer.read(
        {
            "key": "sk-1", "size": PlainText("3"), "word": "B", "listed": ["x", {"size": 2}], "named": {"Y": {}},
            "either": "4", "number": "2.50", "inner": None, "ordered": "5", "anything": {"a": [1]},
        }
    )  # fmt: skip
    assert (found.size, found.word, found.either, found.number) == (3, "b", 4, Decimal("2.50"))
    assert found.listed == (Inner(name="x"), Inner(size=2))
    assert found.named == {"y": Inner()}
    assert found.ordered == (5 * 2 - 1) * 2
    assert found.anything == {"a": [1]}
    assert found.inner == Inner()
    assert found.given == {*Outer.fields} - {"name", "inner"}
    assert "sk-1" not in repr(found)


def test_a_name_without_a_value_takes_its_default() -> None:
    bare = Outer(key="sk-1")
    assert bare == Outer.read({"key": "sk-1", **dict.fromkeys({*Outer.fields} - {"key"})})
    assert bare.given == {"key"}
    assert Inner.read(None) == Inner()
    assert Inner.read(bare) is bare, "a block stays what it is"


def _default_blocks(block: type[Block] = Settings) -> Iterator[type[Block]]:
    for field in block.fields.values():
        if field.default_block is not None:
            yield field.default_block
            yield from _default_blocks(field.default_block)


@pytest.mark.parametrize("block", [*dict.fromkeys(_default_blocks())], ids=lambda block: block.__name__)
def test_a_block_with_all_defaults_passes_its_checks(block: type[Block]) -> None:
    """It is made without them where it stands for a default."""
    assert block.read({}) == block.unchecked()


@pytest.mark.parametrize(
    ("data", "found"),
    [
        ({}, [(("key",), "is missing")]),
        ({"key": "k", "siez": 1, "x": None}, [(("siez",), 'unknown key "siez"'), (("x",), 'unknown key "x"')]),
        ([], [((), NO_BLOCK)]),
        ({"key": "k", "inner": 5}, [(("inner",), NO_BLOCK)]),
        ({"key": "k", "word": True}, [(("word",), 'must be "a", "b" or 3')]),
        ({"key": "k", "word": 3.0}, [(("word",), 'must be "a", "b" or 3')]),
        ({"key": "k", "listed": []}, [(("listed",), "must have at least 1 entry")]),
        ({"key": "k", "listed": "x"}, [(("listed",), "must be a list")]),
        ({"key": "k", "named": []}, [(("named",), NO_BLOCK)]),
        ({"key": "k", "size": 7}, [(("size",), "must not be seven")]),
        ({"key": "k", "size": 10}, [(("size",), "must be at most 9")]),
        ({"key": "k", "number": 0}, [(("number",), "must be more than 0")]),
        ({"key": "k", "either": "x"}, [(("either",), "must be true or false, or a whole number")]),
        ({"key": "k", "word": "b", "either": "true"}, [(("either",), "does not go with b")]),
        ({"key": "k", "word": "c", "either": "true"}, [(("word",), 'must be "a", "b" or 3')]),
        ({"key": "k", "ordered": 6.5 * 2}, []),
        ({"key": "k", "ordered": "x"}, [(("ordered",), "invalid literal for int() with base 10: 'x'")]),
        ({"key": "k", "listed": ["a", "b"]}, [((), "has more than its size")]),
        ({"key": 1, "listed": ["a", "b"]}, [(("key",), "must be text")]),
        (
            {"size": 0, "listed": [{"size": "x"}, {"size": 99}], "named": {3: {"size": 0}}},
            [
                (("size",), "must be at least 1"),
                (("key",), "is missing"),
                (("listed", 0, "size"), "must be a whole number"),
                (("listed", 1, "size"), "must be at most 9"),
                (("named", 3, KEY), "must be text"),
                (("named", 3, "size"), "must be at least 1"),
            ],
        ),
    ],
)
def test_all_that_is_wrong_is_found_in_its_place(data: object, found: list[tuple[tuple[str | int, ...], str]]) -> None:
    if found:
        assert faults(data) == found
    else:
        Outer.read(data)


def test_a_function_may_tell_of_parts_of_its_value() -> None:
    def look(value: object) -> object:
        return Inner.read(value)

    class Holder(Block):
        held: Annotated[Inner, Reader(look)] = required("A block.")

    assert faults({"held": {"size": 0, "x": 1}}, Holder) == [
        (("held", "size"), "must be at least 1"),
        (("held", "x"), 'unknown key "x"'),
    ]


def test_a_copy_is_another_block() -> None:
    first = Outer(key="sk-1")
    copied = first.replaced({"size": 5})
    assert (first.size, copied.size) == (1, 5)
    assert copied.given == {"key", "size"}
    assert first != copied
    assert first.replaced({}) == first
    made = Inner.unchecked(name="x")
    assert made == Inner(name="x")
    assert made.given == {"name"}
    assert hash(made) == hash(Inner(name="x"))
    assert Inner() != Outer(key="sk-1")


def test_a_block_is_frozen() -> None:
    block = Inner()
    with pytest.raises(AttributeError, match="Inner is frozen: size cannot be set"):
        block.size = 2
    with pytest.raises(AttributeError, match="Inner is frozen: size cannot be removed"):
        del block.size
    assert block == Inner()


def test_an_error_has_no_value_in_its_text() -> None:
    with pytest.raises(BlockError) as caught:
        Outer.read({"key": "sk-secret\n", "size": "sk-secret"})
    assert str(caught.value).splitlines() == [
        "Outer:",
        "size: must be a whole number",
        "key: holds a space at an end, a line break or a character beyond ASCII",
    ]


def test_a_type_that_no_setting_has_is_refused() -> None:
    with pytest.raises(TypeError, match="no setting can be"):
        schema_of(list[int])
