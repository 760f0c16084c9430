"""JSON of any kind, written and read so that nothing of it is lost on the way."""

import json
from decimal import Decimal
from typing import Any

from hypothesis import strategies as st


class Literal(str):
    """A number as it is written."""

    __slots__ = ()


def write(value: Any) -> str:
    """Write JSON with the literals as they are and spaces where a client might put some."""
    match value:
        case Literal():
            return str(value)
        case dict():
            return "{ " + ", ".join(f"{json.dumps(key)} : {write(item)}" for key, item in value.items()) + "}"
        case list():
            return "[" + ",\n".join(write(item) for item in value) + "]"
        case _:
            return json.dumps(value, ensure_ascii=False)


def read(text: str) -> Any:
    """Read JSON so that nothing is lost: exact numbers, the order of keys, and whether a number is an integer."""
    return json.loads(
        text,
        parse_float=lambda literal: ("number", Decimal(literal)),
        object_pairs_hook=lambda pairs: ("object", pairs),
    )


numbers = st.one_of(
    st.integers(-(10**40), 10**40).map(lambda number: Literal(str(number))),
    st.floats(allow_nan=False, allow_infinity=False).map(lambda number: Literal(repr(number))),
    st.tuples(st.integers(0, 10**25), st.integers(0, 30), st.integers(-300, 240)).map(
        lambda parts: Literal(f"{parts[0]}.{parts[1]:030d}e{parts[2]:+d}")
    ),
)
texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
values = st.recursive(
    st.one_of(st.none(), st.booleans(), numbers, texts),
    lambda inner: st.one_of(st.lists(inner, max_size=4), st.dictionaries(texts, inner, max_size=4)),
    max_leaves=12,
)
