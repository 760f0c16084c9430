"""Under a hard limit a target without a worst case is left out, as long as others remain; soft limits look ahead."""

from pathlib import Path
from typing import Any

import pytest

from proxy.wire.body import dump_body
from tests.targets.strict import error, place

HARD = {"cost": "$5/day"}
SOFT = {"cost": {"amount": "$0.001", "window": "day", "mode": "soft"}}
PICTURE = [{"role": "user", "content": [{"type": "image_url", "image_url": {"url": "https://example.com/a.png"}}]}]


def routes(*targets: str, **more: Any) -> dict[str, Any]:
    return {"presets": {"p": {"targets": list(targets), **more}}}


@pytest.mark.parametrize(
    "targets", [("dear/m", "unknown/x"), ("unknown/x", "dear/m"), ("unknown/x", "dear/m", "unknown/y")]
)
async def test_a_target_without_a_price(tmp_path: Path, targets: tuple[str, ...]) -> None:
    async with place(tmp_path, routes(*targets), names=("dear", "unknown"), limits=HARD, max_tokens=500) as found:
        answer = await found.ask("p")
        assert (answer.status, answer.header("x-tollkeeper-provider")) == (200, "dear")
        left = ", ".join(f"{name} (no price)" for name in targets if name != "dear/m")
        assert answer.header("x-tollkeeper-left-out") == left
        assert found.strict["unknown"].bodies == []
        found.strict["dear"].refuse = lambda *_: error("overloaded", 503)
        answer = await found.ask("p")
        assert answer.status == 503
        assert answer.header("x-tollkeeper-left-out") == left
        assert found.strict["unknown"].bodies == []  # not even then: nobody could say what it costs


async def test_a_long_body_is_not_written_anew_for_each_target(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing else is answered meanwhile."""
    written = []

    def counted(body: dict[str, Any]) -> bytes:
        data = dump_body(body)
        written.append(len(data))
        return data

    for name in ("bookable_targets", "reserve"):
        monkeypatch.setattr(f"proxy.pipeline.admission.{name}.dump_body", counted)
    async with place(tmp_path, names=("dear",), limits=HARD, max_tokens=500) as found:
        models = [f"dear/m{n}" for n in range(20)]
        messages = [{"role": "user", "content": "x" * 5000}]
        assert (await found.ask("dear/m", models=models, messages=messages)).status == 200
    assert len([size for size in written if size > 5000]) == 2


async def test_none_is_left(tmp_path: Path) -> None:
    more = routes("unknown/x", "unknown/y")
    async with place(tmp_path, more, names=("dear", "unknown"), limits=HARD, max_tokens=500) as found:
        answer = await found.ask("p")
        assert (answer.status, answer.json()["error"]["code"]) == (402, "price_unknown")
        assert '"x"' in answer.json()["error"]["message"]


async def test_without_a_hard_limit_all_are_asked(tmp_path: Path) -> None:
    async with place(tmp_path, routes("unknown/x", "dear/m"), names=("dear", "unknown")) as found:
        answer = await found.ask("p")
        assert answer.header("x-tollkeeper-provider") == "unknown"
        assert answer.header("x-tollkeeper-left-out") is None


async def test_what_only_one_target_cannot_bound(tmp_path: Path) -> None:
    """A picture needs a context length, which no price of the configuration has; web search has no price at all."""
    names = ("openrouter", "dear")
    more = {"presets": {"p": ["dear/m", "a/b"], "q": ["a/b:online", "a/b"]}}
    async with place(tmp_path, more, names=names, limits=HARD) as found:
        listed = {
            "id": "a/b",
            "canonical_slug": "a/b",
            "context_length": 8000,
            "architecture": {"input_modalities": ["text", "image"], "output_modalities": ["text"]},
            "pricing": {"prompt": "0.000001", "completion": "0.000004"},
            "top_provider": {"context_length": 8000, "max_completion_tokens": 1000},
        }
        await found.list_models("openrouter", listed)
        answer = await found.ask("p", messages=PICTURE, max_tokens=100)
        assert (answer.status, answer.header("x-tollkeeper-provider")) == (200, "openrouter"), answer.body
        assert "no context length" in (answer.header("x-tollkeeper-left-out") or "")
        answer = await found.ask("q", max_tokens=100)
        assert answer.header("x-tollkeeper-left-out") == "openrouter/a/b:online (no price of web search (a/b:online))"
        answer = await found.ask("p")  # no max_tokens, and the configuration's price has no maximum
        assert "no max_tokens" in (answer.header("x-tollkeeper-left-out") or "")


async def test_a_soft_limit_asks_what_it_is_thought_to_come_to(tmp_path: Path) -> None:
    """Nothing is spent yet, and yet a request that would come to more than all of it is not let in."""
    async with place(tmp_path, limits=SOFT) as found:  # 250 tokens of output
        assert (await found.ask("strict/m", max_tokens=2000)).status == 402
        assert (await found.ask("strict/m", max_tokens=100)).status == 200
        assert (await found.ask("strict/m")).status == 402


async def test_a_soft_limit_on_tokens(tmp_path: Path) -> None:
    limits = {"tokens": {"amount": 1000, "window": "day", "mode": "soft"}}
    async with place(tmp_path, limits=limits) as found:
        assert (await found.ask("strict/m", max_tokens=2000)).status == 402
        assert (await found.ask("strict/m", max_tokens=100)).status == 200


@pytest.mark.parametrize("path", ["embeddings", "chat/completions"])
async def test_a_maximum_is_told_only_where_it_was_lowered(tmp_path: Path, path: str) -> None:
    limits = {"cost": "$5/day", "tokens": "1M/day"}
    async with place(tmp_path, limits=limits) as found:
        fields = {} if path == "embeddings" else {"max_tokens": 100}
        answer = await found.ask("strict/m", path, **fields)
        assert (answer.status, answer.header("x-tollkeeper-max-tokens")) == (200, None)
        assert found.one.bodies[0].get("max_tokens") == fields.get("max_tokens")
