"""The text of a static target, by keywords in the last message of the user. Pure."""

import re
from collections.abc import Mapping, Sequence
from typing import Any

from msgspec import Struct

DEFAULT = "default"
"""The name under which the text for everything else stands."""


class StaticText(Struct, frozen=True):
    """A static answer; keyword is the one that was found, None for the default text."""

    text: str
    keyword: str | None


def static_text(texts: Mapping[str, str], messages: Sequence[Any]) -> StaticText | None:
    """Return the text of the first keyword, in configured order, that occurs in the last user message.

    A keyword is found as a whole word or run of words, whatever the case. None where no keyword is found and there
    is no default. messages are a chat's, their types already checked; content may be a text or a list of parts.
    """
    said = _last_said(messages).casefold()
    for keyword, text in texts.items():
        if keyword != DEFAULT and re.search(rf"(?<!\w){re.escape(keyword.casefold())}(?!\w)", said):
            return StaticText(text, keyword)
    return StaticText(texts[DEFAULT], None) if DEFAULT in texts else None


def _last_said(messages: Sequence[Any]) -> str:
    for message in reversed(messages):
        if isinstance(message, Mapping) and message.get("role") == "user":
            return _text(message.get("content"))
    return ""


def _text(content: object) -> str:
    if isinstance(content, str):
        return content
    if not isinstance(content, list):
        return ""
    texts = (part.get("text") for part in content if isinstance(part, Mapping))
    return " ".join(text for text in texts if isinstance(text, str))
