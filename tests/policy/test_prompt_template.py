"""Variables in system prompts: plain replacement, and errors that name what is missing."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.policy.prompt_template import Variable, VariableError, fill, names_in


@pytest.mark.parametrize(
    ("text", "given_", "filled"),
    [
        ("Tell a {genre} story.", {"genre": "crime"}, "Tell a crime story."),
        ("{a}{b}{a}", {"a": "1", "b": "2"}, "121"),
        ("{n} of {x}, {yes}", {"n": 3, "x": 1.5, "yes": True}, "3 of 1.5, true"),
        ("{{name}} and {name}", {"name": "Anna"}, "{name} and Anna"),
        ('Answer as {"kind": "{kind}"}.', {"kind": "sms"}, 'Answer as {"kind": "sms"}.'),
        ("{} {0} {a.b} {a[0]} {a!r} {a:>9} {-} { a }", {"a": "x"}, "{} {0} {a.b} {a[0]} {a!r} {a:>9} {-} { a }"),
        ("{a}", {"a": "{b} {{c}} {a}"}, "{b} {{c}} {a}"),
        ("no variables", {}, "no variables"),
        ("{a}", {"a": ""}, ""),
        ("{å}", {}, "{å}"),
    ],
)
def test_names_are_replaced_and_nothing_else(text: str, given_: dict[str, Any], filled: str) -> None:
    assert fill(text, {}, given_) == filled


def test_defaults_and_values() -> None:
    variables = {
        "length": Variable("short", {"short": "two sentences", "long": "a page"}),
        "style": Variable(None, ("bullets", "paragraph")),
    }
    assert fill("{length}, {style}", variables, {"style": "bullets"}) == "two sentences, bullets"
    assert fill("{length}", variables, {"length": "long"}) == "a page"
    assert fill("{length}", variables, {"length": None}) == "two sentences"


@pytest.mark.parametrize(
    ("variable", "given_", "problem", "says"),
    [
        (Variable(), {}, "missing", "metadata.genre is missing"),
        (Variable(), {"genre": None}, "missing", "metadata.genre is missing"),
        (Variable(None, ("crime", "fairy tale")), {}, "missing", "one of: crime, fairy tale"),
        (Variable("crime", ("crime", "fairy tale")), {"genre": "SECRET"}, "not_allowed", "one of: crime, fairy tale"),
        (Variable(), {"genre": ["SECRET"]}, "wrong_type", "must be a string"),
        (Variable(), {"genre": {"SECRET": 1}}, "wrong_type", "must be a string"),
    ],
)
def test_what_cannot_be_filled_in(variable: Variable, given_: dict[str, Any], problem: str, says: str) -> None:
    with pytest.raises(VariableError, match=says) as raised:
        fill("{genre}", {"genre": variable}, given_)
    assert raised.value.name == "genre"
    assert raised.value.problem == problem
    assert raised.value.allowed == tuple(variable.values or ()) or problem == "wrong_type"
    assert "SECRET" not in str(raised.value)


def test_an_undeclared_name_must_be_given_too() -> None:
    with pytest.raises(VariableError) as raised:
        fill("{who}", {}, {"what": "x"})
    assert raised.value.name == "who"


def test_the_names_in_a_text() -> None:
    assert names_in("{a} {{b}} {c_1} {2} {a}") == {"a", "c_1"}


@given(st.text(alphabet="{}ab1_. ", max_size=60), st.text(max_size=10))
def test_any_text_can_be_filled_once_its_names_are_given(text: str, value: str) -> None:
    names = names_in(text)
    filled = fill(text, {}, dict.fromkeys(names, value))
    if not names and "{{" not in text:
        assert filled == text
    for name in names:
        with pytest.raises(VariableError):
            fill(text, {}, {other: value for other in names if other != name})


@given(st.text(max_size=40))
def test_a_value_stands_as_it_was_given(value: str) -> None:
    assert fill("<{a}>", {}, {"a": value}) == f"<{value}>"
