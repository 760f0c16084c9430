"""The lists that a fresh machine installs from: whole, hashed, and of no machine in particular."""

import json
import re
import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).resolve().parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
LOCKS = ("requirements.lock", "requirements-dev.lock")
CLIENTS = ("tests/clients/requirements", "tests/clients/by_hand/requirements")


def entries(lock: str) -> list[str]:
    joined = (ROOT / lock).read_text().replace("\\\n", " ")
    return [line for line in joined.splitlines() if line.strip()]


def pinned(lock: str) -> dict[str, str]:
    """Give the version of each package by its canonical name."""
    found: dict[str, str] = {}
    for entry in entries(lock):
        requirement = Requirement(entry.partition("--hash")[0])
        (specifier,) = requirement.specifier
        assert specifier.operator == "=="
        found[canonicalize_name(requirement.name)] = specifier.version
    return found


def declared(*groups: str) -> list[Requirement]:
    texts: list[str] = list(PROJECT["project"]["dependencies"])
    for group in groups:
        for one in PROJECT["dependency-groups"][group]:
            texts += PROJECT["dependency-groups"][one["include-group"]] if isinstance(one, dict) else [one]
    return [Requirement(text) for text in texts]


@pytest.mark.parametrize("lock", [*LOCKS, *(f"{name}.lock" for name in CLIENTS)])
def test_every_entry_has_hashes_and_no_address(lock: str) -> None:
    for entry in entries(lock):
        assert re.search(r"--hash=sha256:[0-9a-f]{64}( |$)", entry), f"{entry[:60]} has no hash"
        options = re.findall(r"(?:^| )(-{1,2}[a-z][a-z-]*)", entry)
        assert set(options) == {"--hash"}, f"{entry[:60]} carries {options}"
        assert "://" not in entry
        assert " @ " not in entry


@pytest.mark.parametrize(("lock", "groups"), [(LOCKS[0], ["build"]), (LOCKS[1], ["dev"])])
def test_the_lock_fits_what_pyproject_asks_for(lock: str, groups: list[str]) -> None:
    versions = pinned(lock)
    for requirement in declared(*groups):
        name = canonicalize_name(requirement.name)
        assert name in versions, f"{lock} lacks {name}: run scripts/lock"
        assert requirement.specifier.contains(versions[name]), f"{lock} has {name} {versions[name]}: run scripts/lock"


@pytest.mark.parametrize("name", CLIENTS)
def test_the_clients_are_those_that_are_asked_for(name: str) -> None:
    versions = pinned(f"{name}.lock")
    for line in (ROOT / f"{name}.in").read_text().splitlines():
        if not line.startswith("#"):
            asked = Requirement(line)
            assert asked.specifier.contains(versions[canonicalize_name(asked.name)]), f"{line}: run scripts/lock"


def test_the_node_clients_have_hashes_and_no_address() -> None:
    folder = ROOT / "tests/clients/node"
    packages = json.loads((folder / "package-lock.json").read_text())["packages"]
    assert packages.pop("")["dependencies"] == json.loads((folder / "package.json").read_text())["dependencies"]
    assert packages
    for name, entry in packages.items():
        assert entry["integrity"].startswith("sha512-"), name
        assert "resolved" not in entry, name


def test_tests_run_on_the_versions_that_users_get() -> None:
    runtime, dev = pinned(LOCKS[0]), pinned(LOCKS[1])
    assert runtime.items() <= dev.items()
