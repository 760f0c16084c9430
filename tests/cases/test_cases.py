"""Whole inputs that were met elsewhere: a configuration, a provider, requests, and what must come of them.

Each YAML file beside this one is a case, its provider stands in providers.py. Its checks are worked out over client
(the answers), ledger (rows of the view usage) and upstream (the requests for tokens that the provider was sent).
"""

import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.cases.providers import PROVIDERS
from tests.cases.upstream import serving as provider_serving
from tests.support.installation import token_hash_of, token_of, write_config
from tests.support.process import Process
from tests.support.process import serving as proxy_serving
from tests.support.stand import read_rows

CASES = {path.stem: path for path in sorted(Path(__file__).parent.glob("*.yaml"))}
ROW = (
    "SELECT state, input_tokens AS 'in', output_tokens AS out, cached_tokens AS cached, reasoning_tokens AS reasoning,"
    " cost_usd, cost_source AS source, error, flags FROM usage ORDER BY request_id"
)


def test_every_case_has_a_provider() -> None:
    assert CASES.keys() == PROVIDERS.keys()


@pytest.mark.sampled(0.4)
@pytest.mark.parametrize("name", CASES)
async def test_case(name: str, tmp_path: Path) -> None:
    with provider_serving(*PROVIDERS[name]) as (origin, sent):
        case = yaml.safe_load(_filled_in(CASES[name].read_text(), origin))
        config = write_config(tmp_path, case["config"])
        async with proxy_serving(tmp_path, config, "--port", "0", environ=case.get("environ")) as process:
            client = [await _asked(process, step) for step in case["requests"] for _ in range(step.get("times", 1))]
            await process.stop()
    ledger = read_rows(tmp_path / "tollkeeper.db", ROW)
    upstream = [request for request in sent if request["method"] == "POST"]
    facts = {"client": client, "ledger": ledger, "upstream": upstream}
    failed = [check for check in case["checks"] if not eval(check, {}, facts)]  # noqa: S307 - our own files
    assert not failed, json.dumps(facts, indent=1)[:6000]
    assert case["checks"]


def _filled_in(text: str, origin: str) -> str:
    text = text.replace("UPSTREAM", origin)
    return text.replace("TOKEN_HASH_2", token_hash_of("ben")).replace("TOKEN_HASH", token_hash_of("anna"))


async def _asked(process: Process, step: dict[str, Any]) -> dict[str, Any]:
    headers = dict(step.get("headers", {}))
    token = headers.pop("Authorization", token_of(step.get("user", "anna")))  # null: none is sent
    method, body = step.get("method", "POST"), step.get("body")
    answer = await process.ask(method, step["path"], body, token=token, headers=headers.items())
    text = answer.body.decode("utf-8", "backslashreplace")
    return {"status": answer.status, "headers": {name.lower(): value for name, value in answer.headers}, "body": text}
