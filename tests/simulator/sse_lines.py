"""Reads a stream as the SSE standard says, so that the tests do not lean on the simulator's own writer."""

import json
import re
from typing import Any


def events(raw: bytes) -> list[dict[str, Any]]:
    """Give the events as {"event", "data"}; comments are left out."""
    text = raw.decode("utf-8-sig", "replace")
    found = []
    for block in re.split(r"(?:\r\n\r\n|\n\n|\r\r)", text):
        lines = [line for line in re.split(r"\r\n|\n|\r", block) if line and not line.startswith(":")]
        fields: dict[str, list[str]] = {}
        for line in lines:
            name, _, value = line.partition(":")
            fields.setdefault(name, []).append(value.removeprefix(" "))
        if "data" in fields:
            found.append({"event": fields.get("event", [None])[0], "data": "\n".join(fields["data"])})
    return found


def chunks(raw: bytes) -> list[dict[str, Any]]:
    """Give the JSON of every event but [DONE]."""
    return [json.loads(event["data"]) for event in events(raw) if event["data"] != "[DONE]"]


def done(raw: bytes) -> bool:
    return any(event["data"] == "[DONE]" for event in events(raw))
