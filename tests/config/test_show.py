"""What people and editors see: the example, the documentation, the schema, the settings in force."""

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from proxy.cli import tollkeeper
from proxy.config import yaml_tree
from proxy.config.block import Block
from proxy.config.environment import VARIABLES
from proxy.config.load import LoadedConfig, load_file
from proxy.config.schema import LedgerSettings, Log, Provider, Server
from proxy.config.setting_path import block_at
from proxy.config.show import effective, example, json_schema, schema_blocks
from proxy.core.errors import ConfigError

ROOT = Path(__file__).parents[2]
KEY = "sk-or-v1-canary0123456789abcdef"
ENV = {"OPENROUTER_API_KEY": KEY}


def load(tmp_path: Path, text: str, environ: dict[str, str] = ENV) -> LoadedConfig:
    path = tmp_path / "config.yaml"
    path.write_text(text, encoding="utf-8")
    path.chmod(0o600)
    return load_file(path, environ)


# --- the example


def test_the_example_of_the_package_is_the_one_at_the_top() -> None:
    assert example() == (ROOT / "config.example.yaml").read_text(encoding="utf-8")


def test_the_example_loads_with_one_key_and_no_warning(tmp_path: Path) -> None:
    loaded = load(tmp_path, example())
    assert loaded.warnings == ()
    assert {"openrouter", "local"} <= set(loaded.settings.providers)


def _names_used(node: yaml_tree.Node, path: tuple[str | int, ...]) -> set[tuple[type[Block], str]]:
    found: set[tuple[type[Block], str]] = set()
    if isinstance(node, yaml_tree.MappingNode):
        block = block_at(path)
        for name, entry in node.entries.items():
            if block is not None:
                found.add((block, name))
            found |= _names_used(entry.node, (*path, name))
    elif isinstance(node, yaml_tree.SequenceNode):
        for number, item in enumerate(node.items):
            found |= _names_used(item, (*path, number))
    return found


def test_the_example_names_every_setting() -> None:
    root = yaml_tree.parse(example()).root
    assert root is not None
    used = {(block.__name__, name) for block, name in _names_used(root, ())}
    # Key files cannot stand beside the keys that are used, so they are there as comments.
    used |= {("Provider", name) for name in re.findall(r"^    # (\w+_file): ", example(), re.MULTILINE)}
    used |= {("EndUsers", name) for name in re.findall(r"^  # (\w+_file): ", example(), re.MULTILINE)}
    used |= {("SecretSettings", name) for name in re.findall(r"^  # (master_key_file): ", example(), re.MULTILINE)}
    used |= {("Currency", name) for name in re.findall(r"^  # (rates|ecb_file|ecb_url): ", example(), re.MULTILINE)}
    used |= {("AdminSettings", name) for name in re.findall(r"^  # (listen): ", example(), re.MULTILINE)}
    used |= {("ProviderKey", name) for name in re.findall(r"^        # (\w+_file): ", example(), re.MULTILINE)}
    # Of the two names of a default one stands for both; the other is a comment beside it.
    for kind, indent in (("Defaults", 2), ("EndUsers", 2), ("Group", 4), ("User", 4)):
        found = re.findall(rf"^ {{{indent}}}# (default_preset|default_model): ", example(), re.MULTILINE)
        used |= {(kind, name) for name in found}
    wanted = {(block.__name__, name) for block in schema_blocks().values() for name in block.fields}
    assert wanted - used == set()


def test_what_the_example_calls_defaults_are_the_defaults(tmp_path: Path) -> None:
    settings = load(tmp_path, example()).settings
    assert settings.server == Server()
    assert settings.log == Log()
    assert settings.ledger == LedgerSettings()
    openrouter = settings.providers["openrouter"]
    default = Provider.read({"kind": "openrouter", "base_url": "https://openrouter.ai/api/v1"})
    for name in Provider.fields:
        if name not in ("api_key", "attribution"):
            assert getattr(openrouter, name) == getattr(default, name), name


# --- the documentation


def test_every_setting_has_a_help_text_and_a_reason_for_its_default() -> None:
    for prefix, block in schema_blocks().items():
        for name, field in block.fields.items():
            assert field.description, f"{prefix}.{name}"
            assert field.why or field.is_required() or field.default_block is not None, f"{prefix}.{name}"


# --- the JSON Schema


class Checker:
    """As much of JSON Schema as the schema uses; a word that it does not know is an error, not a pass."""

    KNOWN = frozenset(
        {
            *("$defs", "$ref", "$schema", "title", "description", "default", "deprecated", "writeOnly", "format"),
            *("type", "anyOf", "enum", "pattern", "minimum", "maximum", "exclusiveMinimum", "maxLength", "minItems"),
            *("properties", "additionalProperties", "required", "items", "propertyNames"),
            *("minProperties", "maxProperties"),
        }
    )

    def __init__(self, schema: dict[str, Any]) -> None:
        self._schema = schema

    def allows(self, value: Any, schema: Any = None) -> bool:
        schema = self._schema if schema is None else schema
        if isinstance(schema, bool):
            return schema
        assert set(schema) <= self.KNOWN, set(schema) - self.KNOWN
        if "$ref" in schema and not self.allows(value, self._schema["$defs"][schema["$ref"].split("/")[-1]]):
            return False
        if "anyOf" in schema and not any(self.allows(value, one) for one in schema["anyOf"]):
            return False
        if "enum" in schema and value not in schema["enum"]:
            return False
        types = schema.get("type", [])
        if types and not any(self._is(value, one) for one in ([types] if isinstance(types, str) else types)):
            return False
        return self._fits(value, schema)

    @staticmethod
    def _is(value: Any, name: str) -> bool:
        if name in ("integer", "number") and isinstance(value, bool):
            return False
        kinds = {
            "integer": int,
            "number": (int, float),
            "string": str,
            "boolean": bool,
            "null": type(None),
            "array": list,
            "object": dict,
        }
        return isinstance(value, kinds[name])  # type: ignore[arg-type]

    def _fits(self, value: Any, schema: dict[str, Any]) -> bool:
        if isinstance(value, str):
            return re.search(schema.get("pattern", ""), value) is not None and len(value) <= schema.get(
                "maxLength", 10**9
            )
        if isinstance(value, int | float) and not isinstance(value, bool):
            low, above = schema.get("minimum", value), schema.get("exclusiveMinimum", value - 1)
            return bool(low <= value <= schema.get("maximum", value) and value > above)
        if isinstance(value, list):
            fits = all(self.allows(item, schema.get("items", True)) for item in value)
            return fits and len(value) >= schema.get("minItems", 0)
        if isinstance(value, dict):
            known = schema.get("properties", {})
            rest = schema.get("additionalProperties", True)
            present = all(name in value for name in schema.get("required", []))
            present &= schema.get("minProperties", 0) <= len(value) <= schema.get("maxProperties", len(value))
            return present and all(self.allows(item, known.get(name, rest)) for name, item in value.items())
        return True


def _as_an_editor_reads(node: yaml_tree.Node | None) -> Any:
    """Editors read YAML themselves, without variables, and numbers as JSON's."""
    from proxy.config.scalars import typed

    if isinstance(node, yaml_tree.MappingNode):
        return {name: _as_an_editor_reads(entry.node) for name, entry in node.entries.items()}
    if isinstance(node, yaml_tree.SequenceNode):
        return [_as_an_editor_reads(item) for item in node.items]
    if node is None or not node.plain:
        return node.text if node is not None else None
    value = typed(node.text)
    return float(value) if not isinstance(value, bool | int | str | None) else value


@pytest.mark.parametrize(
    "text",
    [
        pytest.param(None, id="the example"),
        "providers: {openrouter: }\n",
        "providers: {openrouter: {api_key: '${K}', provisioning_key: x}}\n",
        "server: {port: '${PORT:-1}', hosts: ['${H}'], body_max_bytes: 5, host: }\n",
        "presets: {a: b/c, d: [e/f, '${G}'], g: {targets: h/i, defaults: {x: [1, {y: null}]}}}\n",
        "limits: {cost: [$2/day, {amount: 2, window: day}], requests: {amount: 6, window: hour}, concurrency: 4}\n",
        "users: {a: , b: {models: '*', tokens: [{hash: '${H}'}]}}\n",
    ],
)
def test_what_loads_is_valid_for_editors(text: str | None) -> None:
    root = yaml_tree.parse(example() if text is None else text).root
    assert Checker(json_schema()).allows(_as_an_editor_reads(root))


@pytest.mark.parametrize(
    "text",
    [
        "xyzzy: 1\n",
        "server: {port: http}\n",
        "server: {port: 70000}\n",
        "server: {head_timeout_s: 0}\n",
        "log: {level: lots}\n",
        "users: {a: {rpm: 1}}\n",
        "limits: {cost: {amount: 1, windw: day}}\n",
        "users: {a: {token_hash: abc}}\n",
        "providers: {a: {base_ur: x}}\n",
        "presets: {a: []}\n",
        "presets: {a: {system: x}}\n",
        "users: []\n",
    ],
)
def test_what_is_refused_is_marked_by_editors_too(text: str, tmp_path: Path) -> None:
    assert not Checker(json_schema()).allows(_as_an_editor_reads(yaml_tree.parse(text).root))
    with pytest.raises(ConfigError):
        load(tmp_path, text)


# --- the settings in force


def test_effective_settings_tell_where_they_come_from(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    loaded = load(
        tmp_path,
        "log:\n  level: debug\npresets:\n  a: b/c\n  d:\n    - e/f\n    - g/h\nlimits:\n  cost: $2/day\n"
        "  requests:\n    amount: 5\n    window: hour\n    mode: soft\n",
        {**ENV, "TOLLKEEPER_PORT": "1"},
    )
    rows = {name: (value, origin) for name, value, origin in effective(loaded)}
    assert rows["log.level"] == ("debug", "config.yaml:2")
    assert rows["log.format"] == ("auto", "default")
    assert rows["server.port"] == (1, "TOLLKEEPER_PORT")
    assert rows["providers.openrouter.api_key"] == ("***", "OPENROUTER_API_KEY")
    assert rows["presets.a.targets[0]"] == ("b/c", "config.yaml:4")
    assert rows["presets.a.system"] == (None, "default")
    assert rows["presets.d.targets[1]"] == ("g/h", "config.yaml:7")
    assert rows["limits.cost[0]"] == ("$2/day", "config.yaml:9")
    assert rows["limits.requests[0]"] == ("5/hour soft", "config.yaml:11")
    assert rows["limits.tokens"] == ([], "default")


# --- tollkeeper config …


@pytest.fixture
def runner(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> CliRunner:
    monkeypatch.chdir(tmp_path)
    for name in VARIABLES:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.delenv("TOLLKEEPER_CONFIG", raising=False)
    monkeypatch.setenv("OPENROUTER_API_KEY", KEY)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "xdg"))
    return CliRunner()


def test_config_example_prints_the_file(runner: CliRunner) -> None:
    result = runner.invoke(tollkeeper, ["config", "example"])
    assert result.exit_code == 0
    assert result.stdout == example()


def test_config_schema_prints_json(runner: CliRunner) -> None:
    result = runner.invoke(tollkeeper, ["config", "schema"])
    assert result.exit_code == 0
    assert json.loads(result.stdout) == json.loads(json.dumps(json_schema()))


def test_config_show_masks_and_tells_origins(runner: CliRunner, tmp_path: Path) -> None:
    load(tmp_path, "log: {level: debug}\n")
    result = runner.invoke(tollkeeper, ["config", "show"])
    assert result.exit_code == 0
    assert re.search(r"^log\.level +debug +\(config\.yaml:1\)$", result.stdout, re.MULTILINE)
    assert re.search(r"^providers\.openrouter\.api_key +\*\*\* +\(OPENROUTER_API_KEY\)$", result.stdout, re.MULTILINE)
    assert KEY not in result.output


def test_config_show_as_json(runner: CliRunner, tmp_path: Path) -> None:
    load(tmp_path, "log: {level: debug}\n")
    result = runner.invoke(tollkeeper, ["config", "show", "--json", "--changed"])
    document = json.loads(result.stdout)
    assert document["settings"]["log"] == {"level": "debug", "format": "auto"}
    assert document["settings"]["providers"]["openrouter"]["api_key"] == "***"
    assert document["origins"]["log.level"] == "config.yaml:1"
    assert "log.format" not in document["origins"]
    assert KEY not in result.output


def test_config_show_of_a_broken_file_exits_with_2(runner: CliRunner, tmp_path: Path) -> None:
    (tmp_path / "config.yaml").write_text("xyzzy: 1\n")
    result = runner.invoke(tollkeeper, ["config", "show"])
    assert result.exit_code == 2
    assert 'unknown key "xyzzy"' in result.stderr
    assert result.stdout == ""


def test_reading_the_configuration_imports_no_http_and_draws_nothing() -> None:
    heavy = "{'aiohttp', 'rich', 'sqlite3'}"
    code = f"import sys, proxy.config.load, proxy.config.live; print(sorted({heavy} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"
