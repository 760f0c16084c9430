"""A route of several providers, each with a raw server of its own."""

import json
from collections.abc import Mapping
from typing import Any, Final

from tests.faults.place import Place
from tests.faults.raw_upstream import RawUpstream
from tests.support.installation import PROVIDER_KEY

PRESET: Final = "story"
DEADLINE_S: Final = 20


def chained(content: dict[str, Any], ups: list[RawUpstream]) -> None:
    """Have providers p1, p2, … and a preset that goes through them in order."""
    usual = content["providers"].pop("openrouter")
    content["providers"].pop("plain")
    for n, up in enumerate(ups, 1):
        content["providers"][f"p{n}"] = {
            **usual,
            "kind": "openrouter",
            "base_url": f"{up.url}/api/v1",
            "api_key": PROVIDER_KEY,
        }
    targets = [f"p{n}/openai/gpt-4o-mini" for n in range(1, len(ups) + 1)]
    content["presets"] = {PRESET: {"targets": targets, "deadline_s": DEADLINE_S}}


def hasty(content: dict[str, Any], ups: list[RawUpstream]) -> None:
    """Do as chained, with short time-outs for the first provider."""
    chained(content, ups)
    content["providers"]["p1"].update({"header_timeout_s": 0.5, "idle_timeout_s": 0.5})


def with_breaker(header_timeout_s: float, **rules: Any) -> Any:
    """Give chained with other rules for the breaker of each provider."""

    def edit(content: dict[str, Any], ups: list[RawUpstream]) -> None:
        chained(content, ups)
        for provider in content["providers"].values():
            provider.update({"breaker": rules, "header_timeout_s": header_timeout_s})

    return edit


def said(body: Mapping[str, Any]) -> str:
    """Give what the client's message is, by which a server knows one request from another."""
    text = body["messages"][-1]["content"]
    assert isinstance(text, str)
    return text


def asked(up: RawUpstream) -> list[str]:
    return [said(json.loads(heard.body)) for heard in up.chats()]


async def billed_pusd(place: Place) -> int:
    """Give what all servers together have billed."""
    return sum(pusd for up in place.upstreams for pusd in up.charged.values())
