"""The configuration of the demo: the simulator under several names, two users, and what made-up weeks need besides."""

import json
from typing import Final

from msgspec import Struct

from proxy.cli.demo_people import PRESETS, PROVIDER_KEYS
from proxy.core.user_token import token_hash

MARK: Final = "# Made by tollkeeper demo"
GUEST_LIMIT: Final = "$0.0009/day"  # a handful of short answers of the model in the hints, then the first refusal
DRAIN_S: Final = 10
_USER: Final = "demo"
_GUEST: Final = "guest"
_TOP: Final = """limits: {cost: $100/month}
alerts:
  rules:
    budgets: {watch: limit_share, at: [80%, 100%]}
    failing: {watch: error_rate, at: 30%, min_requests: 5}
"""
_PRESET: Final = "  fast: [openai/gpt-5-mini]\n"
_PRICES: Final = {
    "direct": "{input: 0.15, output: 0.60, cached_input: 0.075}",
    "groq": "{input: 0.03, output: 0.14, cached_input: 0.009}",
    "ollama": "{input: 0, output: 0}",
}
_PATHS: Final = {"direct": "/openai/v1", "groq": "/profiles/groq/openai/v1", "ollama": "/profiles/ollama/v1"}


class DemoKeys(Struct, frozen=True):
    """The users' tokens and the operator's; kept in demo.env and guest.env, so that a second run has the same."""

    token: str
    guest_token: str
    admin_token: str


def demo_config(url: str, port: int, keys: DemoKeys, *, zone: str, has_weeks: bool) -> str:
    """Return the text of config.yaml.

    url: of the simulator. zone: where days begin. has_weeks: for the people of demo_people too.
    """
    # JSON strings are YAML strings
    return f"""{MARK}, anew at each start: copy it before you change it.
server: {{host: 127.0.0.1, port: {port}, shutdown_timeout_s: {DRAIN_S}}}
database: ./tollkeeper.db
timezone: {json.dumps(zone)}
admin_token: {json.dumps(keys.admin_token)}
{_TOP if has_weeks else ""}providers:
  openrouter:                        # the simulator
    base_url: {json.dumps(f"{url}/api/v1")}
    api_key: {PROVIDER_KEYS["openrouter"]}
    management_key: sk-or-v1-management-demo
{_further_providers(url) if has_weeks else ""}presets:
{_presets() if has_weeks else _PRESET}users:
  {_USER}: {{token_hash: "sha256:{token_hash(keys.token)}", limits: {{cost: $1/day, requests: 60/minute}}}}
  {_GUEST}: {{token_hash: "sha256:{token_hash(keys.guest_token)}", limits: {{cost: {GUEST_LIMIT}}}}}
"""


def _further_providers(url: str) -> str:
    """Return the other providers that made-up users ask: all are the simulator, and groq's server fails."""
    blocks = []
    for name, path in _PATHS.items():
        key = f"    api_key: {PROVIDER_KEYS[name]}\n" if name in PROVIDER_KEYS else ""
        rules = "    retry: {attempts: 1}\n    breaker: {failures: 3, cooldown_s: 300}\n" if name == "groq" else ""
        blocks.append(
            f"  {name}:\n    kind: openai\n    base_url: {json.dumps(url + path)}\n{key}{rules}"
            f'    prices: {{"*": {_PRICES[name]}}}\n'
        )
    return "".join(blocks)


def _presets() -> str:
    return "".join(f"  {name}: {json.dumps(list(targets))}\n" for name, targets in PRESETS.items())
