"""docs/reference/providers.md is what the command makes, and what it tells people to write works as configuration."""

import asyncio
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from proxy.simulator.profiles.profile import Profile
from proxy.simulator.profiles.table import PROFILES
from tests.support.installation import PROVIDER_KEY, token_hash_of, write_config
from tests.support.stand import simulator

from .__main__ import PAGE
from .page import key_variable, page
from .stand import auth

ROOT = PAGE.parents[2]
USERS = {"anna": {"token_hash": token_hash_of("anna"), "limits": {"cost": "$5/day"}}}
ENVIRON = {key_variable(profile): PROVIDER_KEY for profile in PROFILES.values() if profile.needs_key}


def snippets() -> dict[str, dict[str, Any]]:
    """Return the providers' blocks as the page has them, by the profile's name."""
    blocks = re.findall(r"```yaml\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)
    found: dict[str, dict[str, Any]] = {}
    for block in blocks:
        found |= yaml.safe_load(block)["providers"]
    return found


def check(folder: Path, providers: dict[str, Any], *arguments: str) -> subprocess.CompletedProcess[str]:
    path = write_config(folder, {"database": "./ledger.db", "providers": providers, "users": USERS})
    return subprocess.run(
        [sys.executable, "-m", "proxy", "check", "-c", str(path), *arguments],
        env={**os.environ, **ENVIRON, "PYTHONPATH": str(ROOT)},
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )


def test_the_page_is_what_the_command_writes() -> None:
    assert PAGE.read_text(encoding="utf-8") == page(), "python -m tests.profiles --write"


def test_every_profile_has_its_snippet() -> None:
    assert list(snippets()) == list(PROFILES)


def test_check_takes_all_snippets_as_they_stand(tmp_path: Path) -> None:
    ran = check(tmp_path, snippets(), "--offline")
    assert ran.returncode == 0, ran.stdout + ran.stderr


@pytest.mark.sampled(0.2)
@pytest.mark.slow
@pytest.mark.parametrize("profile", PROFILES.values(), ids=list(PROFILES))
async def test_check_finds_the_server_of_a_snippet(tmp_path: Path, profile: Profile) -> None:
    async with simulator() as sim:
        block = {**snippets()[profile.name], "base_url": f"{sim.url}{profile.path}", **auth(profile)}
        ran = await asyncio.to_thread(check, tmp_path, {profile.name: block})
    assert ran.returncode == 0, ran.stdout + ran.stderr
