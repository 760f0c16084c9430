"""tollkeeper models and providers, where no proxy runs: by the last list on disk."""

import asyncio
import json
import os
import urllib.request
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from proxy.cli import tollkeeper
from tests.cli.command_line import CommandLine
from tests.storage.made_requests import opened, request_end, running


@pytest.fixture
def listed(configured: CommandLine, simulator: str) -> Path:
    """Give the folder of a configuration whose provider's list is on disk."""
    with urllib.request.urlopen(f"{simulator}/api/v1/models") as answer:  # noqa: S310 - of this test
        (configured.folder / "tollkeeper.db.models-openrouter.json").write_bytes(answer.read())
    return configured.folder


def run(*arguments: str, stdin: str = "") -> tuple[int, str, str]:
    ran = CliRunner().invoke(tollkeeper, arguments, input=stdin, prog_name="tollkeeper", catch_exceptions=False)
    return ran.exit_code, ran.stdout, ran.stderr


def test_models_are_listed_switched_priced_and_recommended(listed: Path) -> None:
    before = Path.cwd()
    os.chdir(listed)
    try:
        _, shown, _ = run("models", "list", "--needs", "vision", "--max-price", "$1", "--context", "200k")
        lines = shown.splitlines()
        assert lines[0].split() == ["model", "usd_per_m", "per_request", "context", "takes", "state"]
        assert any(line.startswith("openai/gpt-5-nano ") for line in lines)
        assert not any(line.startswith("openai/gpt-4o ") for line in lines)

        assert run("models", "disable", "openai/gpt-5*")[0] == 0
        code, _, said = run("models", "enable", "openai/gpt-5-nano")
        assert (code, "models.openai/gpt-5*.enabled" in said) == (1, True)
        assert run("models", "set", "openai/gpt-4o", "--request-price", "0.01")[0] == 0
        found = json.loads(run("models", "show", "openai/gpt-4o", "--json")[1])
        assert found["request_price_usd"] == "0.01"
        assert "no, by models.openai/gpt-5*.enabled" in run("models", "show", "openai/gpt-5-nano")[1]
        assert run("models", "enable", "openai/gpt-5*")[0] == 0
        assert run("models", "reset", "openai/gpt-4o")[0] == 0

        job = json.dumps([{"role": "user", "content": "Sort this mail."}])
        _, ranked, _ = run("models", "recommend", "--needs", "vision", "--messages", "-", "--top", "2", stdin=job)
        assert ranked.splitlines()[0].split() == ["rank", "model", "usd_a_job", "why"]
        assert "USD for this job" in ranked
        code, _, said = run("models", "recommend", "--needs", "wings")
        assert (code, "There are: tools" in said) == (1, True)
        code, _, said = run("models", "recommend", "--context", "9M")
        assert (code, said.startswith("Error: No model takes a context of about 9000000 tokens")) == (1, True)

        assert run("providers", "disable", "openrouter")[0] == 0
        assert "no" in run("providers", "list")[1].splitlines()[1].split()
        assert run("providers", "enable", "openrouter")[0] == 0
    finally:
        os.chdir(before)


def test_a_disabled_provider_needs_no_key_and_a_default_no_model(
    listed: Path, simulator: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(listed)
    (listed / "config.yaml").write_text(
        f"""
providers:
  openrouter: {{base_url: "{simulator}/api/v1", api_key: sk-or-v1-canary-key}}
  other: {{kind: openrouter, enabled: false}}
users: {{anna: {{default_model: openai/gpt-5-nano}}}}
"""
    )
    assert "other        disabled, and not asked" in run("check")[1]
    code, shown, said = run("explain", "--user", "anna")
    assert (code, "gpt-5-nano at openrouter" in shown) == (0, True), said
    code, _, said = run("explain")
    assert (code, "model is missing" in said) == (1, True)


def test_how_models_answered(configured: CommandLine) -> None:
    async def answer() -> None:
        async with running(configured.folder / "tollkeeper.db") as ledger:
            for n, model in enumerate(("openai/gpt-5", "openai/gpt-5", "local/slow")):
                row = await opened(ledger, target_model=model, streamed=1)
                told: dict[str, Any] = {
                    "model": model,
                    "provider": "openrouter",
                    "ttft_ms": 100,
                    "duration_ms": 1100 + 3000 * (n == 2),
                }
                await ledger.end(
                    request_end(row, **told, output_tokens=80, cost_pusd=54_250_000 if n == 2 else 25 * 10**8)
                )

    asyncio.run(answer())
    os.chdir(configured.folder)
    _, shown, _ = run("models", "stats", "--since", "all", "--sort", "p50")
    head, quick, slow = (line.split() for line in shown.splitlines())
    assert head == ["model", "requests", "ok_%", "p50_s", "p95_s", "first_s", "tok/s", "usd_each", "fell_%"]
    assert (quick[:3], slow[:2]) == (["openrouter/openai/gpt-5", "2", "100.0"], ["openrouter/local/slow", "1"])
    assert 0.9 < float(quick[3]) < 1.3
    assert 3.3 < float(slow[4]) < 5
    assert (quick[7], quick[8], slow[7]) == ("0.0025", "0.0", "0.0000542")
    [found] = json.loads(run("models", "stats", "--since", "all", "--model", "*slow", "--json")[1])
    assert (found["answered"], found["errors"]) == (1, 0)
    assert run("models", "stats")[1:] == ("", "Nothing was asked in this time.\n")


def test_asking_how_models_answered_makes_no_ledger(configured: CommandLine) -> None:
    os.chdir(configured.folder)
    code, shown, said = run("models", "stats")
    assert (code, shown) == (1, "")
    assert "there is no ledger yet" in said
    assert not (configured.folder / "tollkeeper.db").exists()
