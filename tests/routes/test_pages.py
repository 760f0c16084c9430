"""What the pages say of routes holds: every piece of YAML loads, and every field of an answer is named."""

import re
from pathlib import Path
from typing import Any

import pytest

from proxy.config.load import load_file
from proxy.pipeline.presets import preset_rows
from tests.support.stand import MESSAGES, MODEL, Stand
from tests.support.stand import stand as run_stand

ROOT = Path(__file__).parents[2]
ROUTES = (ROOT / "docs" / "concepts" / "routes.md").read_text(encoding="utf-8")
API = (ROOT / "docs" / "reference" / "api.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"^```yaml\n(.*?)^```$", ROUTES, re.MULTILINE | re.DOTALL)
FRONT = (ROOT / "README.md").read_text(encoding="utf-8")
README = re.findall(r"^```yaml\n(presets:.*?)^```$", FRONT, re.MULTILINE | re.DOTALL)


MAKERS = {"openai", "anthropic", "google"}  # whose models are OpenRouter's here


def test_there_are_pieces() -> None:
    assert len(BLOCKS) >= 10
    assert len(README) == 1


@pytest.mark.parametrize("text", [*BLOCKS, *README], ids=lambda text: re.sub(r"\W+", " ", text)[:40])
def test_every_piece_is_a_configuration(tmp_path: Path, text: str) -> None:
    """Each loads alone, without a warning; its presets become routes, and each named provider is one."""
    path = tmp_path / "config.yaml"
    path.write_text(text, encoding="utf-8")
    path.chmod(0o600)
    keys = {name: f"sk-or-v1-{name.lower()}" for name in ("OPENROUTER_API_KEY", *re.findall(r"\$\{(\w+)\}", text))}
    loaded = load_file(path, keys)
    assert loaded.warnings == ()
    settings = loaded.settings
    for row in preset_rows(settings).values():
        assert row.targets
    assert set(settings.use_cases.values()) <= set(settings.presets)
    named = [target.target for preset in settings.presets.values() for target in preset.targets if target.target]
    assert {name.partition("/")[0] for name in named} <= MAKERS | set(settings.providers)


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
