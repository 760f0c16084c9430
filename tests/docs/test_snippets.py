"""Every block of the pages is in a known language, and what it shows is valid."""

import itertools
import json
import re
import tomllib
from pathlib import Path

import pytest
import yaml

from proxy.config.load import load_file
from proxy.pipeline.routing.presets import preset_rows

from .pages import pages
from .snippets import LANGUAGES, Snippet, snippets

# Dated pages of evidence are records, not instructions.
ALL = [one for name, page in pages().items() if not name.startswith("docs/evidence/") for one in snippets(page)]
NOT_RUN = 19  # may only shrink: a block that is not tried may be wrong
VENDORS = {"openai", "anthropic", "google", "meta-llama"}  # whose models are OpenRouter's here


def of(*languages: str) -> list[Snippet]:
    return [one for one in ALL if one.language in languages]


def place(snippet: Snippet) -> str:
    return snippet.place


@pytest.mark.parametrize("snippet", ALL, ids=place)
def test_the_language_is_named(snippet: Snippet) -> None:
    assert snippet.language in LANGUAGES
    if snippet.language == "text":
        assert not re.search(r"^\$ ", snippet.text, re.MULTILINE), "commands belong into a block of ```console"


def test_every_metric_that_a_page_names_is_there() -> None:
    known = set(re.findall(r"^\| `(tollkeeper_\w+)` \|", pages()["docs/reference/metrics.md"].text, re.MULTILINE))
    named = {name for one in ALL for name in re.findall(r"\btollkeeper_\w+", one.text)}
    assert named <= known


@pytest.mark.parametrize("snippet", of("js"), ids=place)
def test_what_no_test_reads_says_so(snippet: Snippet) -> None:
    assert snippet.not_run


def test_no_more_blocks_are_left_out() -> None:
    left_out = [f"{one.place}: {one.not_run}" for one in ALL if one.not_run]
    assert len(left_out) == NOT_RUN, "\n".join(left_out)


@pytest.mark.parametrize("snippet", of("json"), ids=place)
def test_json(snippet: Snippet) -> None:
    json.loads(snippet.text)


@pytest.mark.parametrize("snippet", of("env"), ids=place)
def test_environment(snippet: Snippet) -> None:
    assert all(re.fullmatch(r"[A-Z_]+=\S+( +#.*)?", line) for line in snippet.text.splitlines())


@pytest.mark.parametrize("snippet", of("toml"), ids=place)
def test_toml(snippet: Snippet) -> None:
    tomllib.loads(snippet.text)


@pytest.mark.parametrize("snippet", [one for one in of("yaml") if not one.not_run], ids=place)
def test_yaml_is_a_configuration(tmp_path: Path, snippet: Snippet) -> None:
    """Each loads alone, without a warning; its presets become routes, and each named provider is one."""
    numbers = itertools.count()
    text = re.sub("sha256:…", lambda _: f"sha256:{next(numbers):064x}", snippet.text)
    path = tmp_path / "config.yaml"
    for file in re.findall(r"\b\w+_file: \.?/?([\w./-]+)", text):
        (tmp_path / file).write_text("x" * 40)
        (tmp_path / file).chmod(0o600)
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
    assert {name.partition("/")[0] for name in named} <= VENDORS | set(settings.providers)


@pytest.mark.parametrize("snippet", [one for one in of("yaml") if one.not_run], ids=place)
def test_other_yaml_can_be_read(snippet: Snippet) -> None:
    assert yaml.safe_load(snippet.text)
