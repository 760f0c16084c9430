"""docs/reference/api.md names every field of what explain and readyz answer."""

import re
from pathlib import Path
from typing import Any

from tests.support.stand import MESSAGES, MODEL, Stand
from tests.support.stand import stand as run_stand

ROOT = Path(__file__).parents[2]
API = (ROOT / "docs" / "reference" / "api.md").read_text(encoding="utf-8")


def named(section: str) -> set[str]:
    """Give the words that a section has in code marks."""
    start = API.index(f"## {section}\n")
    end = API.find("\n## ", start + 1)
    return set(re.findall(r"`(\w+)`", API[start : end if end > 0 else None]))


async def test_the_page_names_what_explain_and_readyz_tell(tmp_path: Path) -> None:
    more: dict[str, Any] = {
        "presets": {"mine": [MODEL, {"static": {"default": "Later."}}]},
        "providers": {"openrouter": {"max_concurrency": 3}},
    }
    async with run_stand(tmp_path, more) as stand:
        await stand.sim.behave("all", error="overloaded")
        assert (await stand.chat({"model": "mine"})).header("x-tollkeeper-static") == "1"
        explained = (await stand.ask("POST", "/v1/explain", {"model": "mine", "messages": MESSAGES})).json()
        told = set(explained) | set(explained["targets"][0])
        assert told - named("POST /v1/explain") == set()
        ready = await _ready(stand)
        provider = ready["providers"]["openrouter"]
        told = set(ready) | set(ready["catalogue"]["openrouter"]) | set(provider) | set(provider["line"])
        told |= set(provider["breaker"]) | set(provider["models"][MODEL]) | set(provider["keys"][0])
        assert told - named("GET /healthz, GET /readyz") == set()


async def _ready(stand: Stand) -> dict[str, Any]:
    found: dict[str, Any] = (await stand.ask("GET", "/readyz?verbose")).json()
    return found
