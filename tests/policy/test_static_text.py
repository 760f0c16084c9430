"""Static targets: which text answers which message."""

from typing import Any

import pytest

from proxy.policy.static_text import StaticText, static_text

TEXTS = {
    "opening hours": "We are open 9 to 17.",
    "Boka": "Call 08-123 45 67.",
    "c++": "We know it.",
    "default": "We call back.",
}


def user(content: Any) -> dict[str, Any]:
    return {"role": "user", "content": content}


@pytest.mark.parametrize(
    ("said", "keyword"),
    [
        ("What are your OPENING HOURS today?", "opening hours"),
        ("jag vill boka en tid", "Boka"),
        ("boka, opening hours?", "opening hours"),
        ("Kan jag avboka?", None),
        ("bokat", None),
        ("Do you do C++?", "c++"),
        ("", None),
        ("default", None),
    ],
)
def test_keywords_are_whole_words_in_configured_order(said: str, keyword: str | None) -> None:
    found = static_text(TEXTS, [user(said)])
    assert found == StaticText(TEXTS[keyword or "default"], keyword)


@pytest.mark.parametrize(
    "messages",
    [
        [user("boka"), {"role": "assistant", "content": "opening hours"}],
        [user("opening hours"), user("boka")],
        [user([{"type": "text", "text": "jag vill"}, {"type": "image_url"}, {"type": "text", "text": "boka"}])],
        [user("boka"), {"role": "system", "content": "opening hours"}],
    ],
)
def test_the_last_thing_that_the_user_said_counts(messages: list[Any]) -> None:
    found = static_text(TEXTS, messages)
    assert found is not None
    assert found.keyword == "Boka"


@pytest.mark.parametrize("messages", [[], ["x"], [{"role": "user"}], [user(None)], [user([1, {"text": 2}])]])
def test_odd_messages_get_the_default(messages: list[Any]) -> None:
    assert static_text(TEXTS, messages) == StaticText("We call back.", None)


def test_without_a_default_there_may_be_no_answer() -> None:
    assert static_text({"boka": "Call."}, [user("hello")]) is None
