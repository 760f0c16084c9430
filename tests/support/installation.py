"""A configuration for tests: a provider that is the simulator, twice, and users with tokens that are known."""

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from proxy.core.user_token import _checksum
from tests.support.one_try import rules

PROVIDER_KEY = "sk-or-v1-" + "c0ffee00" * 8
OPENAI_KEY = "sk-proj-" + "deadbeef" * 5
ADMIN_TOKEN = "operator-" + "0123456789" * 4
PRICES = {"*": {"input": "0.15", "output": "0.60", "cached_input": "0.075"}}


def token_of(user: str) -> str:
    """Give the token of a test's user: well-formed, and the same in every run."""
    body = "tk-" + (hashlib.sha256(user.encode()).hexdigest() * 2)[:43]
    return body + _checksum(body)


def token_hash_of(user: str) -> str:
    return "sha256:" + hashlib.sha256(token_of(user).encode()).hexdigest()


def settings(simulator_url: str, more: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """Give a configuration; more is laid over it, block by block. None takes a name out.

    Nothing of retries and breakers stands in it, but for the tests that one_try.py lists.
    """
    base: dict[str, Any] = {
        "server": {"port": 0},
        "database": "./ledger.db",
        "admin_token": ADMIN_TOKEN,
        "providers": {
            "openrouter": {"base_url": f"{simulator_url}/api/v1", "api_key": PROVIDER_KEY, **rules()},
            "plain": {
                "kind": "openai",
                "base_url": f"{simulator_url}/openai/v1",
                "api_key": OPENAI_KEY,
                "prices": PRICES,
                **rules(),
            },
        },
        "users": {"anna": {"token_hash": token_hash_of("anna")}},
    }
    return _laid_over(base, more or {})


def _laid_over(base: Mapping[str, Any], more: Mapping[str, Any]) -> dict[str, Any]:
    merged = dict(base)
    for name, value in more.items():
        below = merged.get(name)
        if value is None:
            merged.pop(name, None)
        elif isinstance(value, Mapping) and isinstance(below, Mapping):
            merged[name] = _laid_over(below, value)
        else:
            merged[name] = value
    return merged


def write_config(folder: Path, content: Mapping[str, Any], name: str = "config.yaml") -> Path:
    """Write a configuration that only its owner reads; the file is replaced whole."""
    path = folder / name
    half = folder / f"{name}.half"
    half.write_text(yaml.safe_dump(dict(content), sort_keys=False))
    half.chmod(0o600)
    half.replace(path)
    return path
