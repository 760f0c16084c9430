"""From a file on disk to settings, and every mistake to a text."""

import json
import os
import re
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from proxy.config.load import LoadedConfig, data_dir, find_config, load_default, load_file
from proxy.config.older_names import OLDER_NAMES
from proxy.config.schema import Settings, split_target
from proxy.config.show import as_json, effective, schema_blocks
from proxy.core.errors import ConfigError
from proxy.core.secret import Secret
from tests.support.sampling import count

KEY = "sk-or-v1-canary0123456789abcdef"
ENV = {"OPENROUTER_API_KEY": KEY}
HASH = "sha256:" + "ab" * 32


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def write(folder: Path, text: str, mode: int = 0o600) -> Path:
    path = folder / "config.yaml"
    path.write_text(text, encoding="utf-8")
    path.chmod(mode)
    return path


def load(folder: Path, text: str, environ: dict[str, str] = ENV, **overrides: str) -> LoadedConfig:
    return load_file(
        write(folder, text), environ, {name.replace("__", "."): value for name, value in overrides.items()}
    )


def refused(folder: Path, text: str, environ: dict[str, str] = ENV, **overrides: str) -> str:
    with pytest.raises(ConfigError) as error:
        load(folder, text, environ, **overrides)
    return str(error.value)


# --- what is read


def test_the_shape_that_users_edit(folder: Path) -> None:
    loaded = load(folder, _SHAPE % HASH)
    settings = loaded.settings
    assert settings.server.port == 9000
    assert settings.server.body_max_bytes == 2**20
    assert settings.database == folder / "data/tollkeeper.db"
    assert settings.currency.usd_rate == Decimal("10.42")
    assert settings.admin_token is None
    assert list(settings.providers) == ["openrouter", "local"]
    openrouter, local = settings.providers.values()
    assert openrouter.kind == "openrouter"
    assert openrouter.base_url == "https://openrouter.ai/api/v1"
    assert openrouter.api_key == Secret(KEY)
    assert openrouter.management_key is None
    assert local.base_url == "http://127.0.0.1:11434/v1"
    assert local.prices["*"].output_ausd == 250_000_000_000
    assert tuple(one.target for one in settings.presets["fast"].targets) == (
        "openai/gpt-5-mini",
        "google/gemini-2.5-flash",
        "local/qwen3",
    )
    assert tuple(one.target for one in settings.presets["house"].targets) == ("local/qwen3",)
    assert settings.presets["sms-classify"].defaults == {
        "temperature": 0.2,
        "max_tokens": 20,
        "stop": ["12", "on", 12],
        "x": None,
    }
    assert [limit.window for limit in settings.defaults.limits.all] == ["day", "month", "minute"]
    anna = settings.users["anna"]
    assert [token.hash for token in anna.all_tokens] == ["ab" * 32]
    assert anna.models == ("fast", "openai/*")
    assert settings.users["bo"].all_tokens == ()
    assert loaded.warnings == ()


_SHAPE = """
server: {host: 127.0.0.1, port: "${PORT:-9000}", body_max_bytes: 1MiB}
database: ./data/tollkeeper.db
timezone: Europe/Stockholm
currency: {code: SEK, usd_rate: 10.42}
admin_token: ${TOLLKEEPER_ADMIN_TOKEN:-}
providers:
  openrouter:
    api_key: ${OPENROUTER_API_KEY}
    management_key: ${OPENROUTER_MANAGEMENT_KEY:-}
  local: {kind: openai, base_url: "http://127.0.0.1:11434/v1/", prices: {"*": {input: 0, output: 0.25}}}
presets:
  fast: [openai/gpt-5-mini, google/gemini-2.5-flash, local/qwen3]
  house: local/qwen3
  sms-classify:
    targets: [openai/gpt-5-nano, anthropic/claude-haiku-4.5]
    defaults: {temperature: 0.2, max_tokens: 20, stop: ["12", on, 12], x: null}
    system: "Answer with one word: booking, question, spam or other."
    use_case: sms
limits:   {cost: $200/month}
defaults: {limits: {cost: [$2/day, $20/month], requests: 60/minute}}
groups:   {family: {limits: {cost: $50/month}}}
users:
  anna:   {token_hash: "%s", group: family, limits: {cost: $5/day}, models: [fast, "openai/*"]}
  bo:
"""


def test_an_empty_file_and_a_key_in_the_environment_are_enough(folder: Path) -> None:
    loaded = load(folder, "# nothing yet\n")
    assert loaded.settings.providers["openrouter"].api_key == Secret(KEY)
    assert loaded.settings.database == folder / "tollkeeper.db"
    assert loaded.settings.server == Settings().server


def test_names_without_a_value_take_their_default(folder: Path) -> None:
    loaded = load(folder, "server:\n  port:\nusers:\nproviders:\n  openrouter:\nlimits:\n  cost:\npresets:\n")
    assert loaded.settings.server.port == 8787
    assert loaded.settings.users == {}


def test_no_file_at_all(folder: Path) -> None:
    loaded = load_default({**ENV, "XDG_DATA_HOME": str(folder / "share")})
    assert loaded.path is None
    assert loaded.settings.database == folder / "share/tollkeeper/tollkeeper.db"
    assert loaded.settings.providers["openrouter"].api_key == Secret(KEY)
    with pytest.raises(
        ConfigError, match=r"OPENROUTER_API_KEY is not set\. Set it, or make a file with: tollkeeper init"
    ):
        load_default({})


def test_the_key_of_the_environment_goes_to_openrouter_alone(folder: Path) -> None:
    text = "providers: {openrouter: {base_url: 'http://127.0.0.1:9/v1'}, local: {base_url: 'http://127.0.0.1:8/v1'}}"
    loaded = load(folder, text)
    assert all(provider.api_key is None for provider in loaded.settings.providers.values())


def test_a_key_of_digits_is_text(folder: Path) -> None:
    loaded = load(folder, "admin_token: 0012345678\n")
    assert loaded.settings.admin_token == Secret("0012345678")


def test_the_older_name_of_the_management_key(folder: Path) -> None:
    loaded = load(folder, "providers: {openrouter: {provisioning_key: sk-or-prov-1}}\n")
    assert loaded.settings.providers["openrouter"].management_key == Secret("sk-or-prov-1")


OLDER = [
    ("server", "i_know_this_is_plain", "allow_insecure", "true", True),
    ("server", "lane", "fast_path", "false", False),
    ("ledger", "settle_wait_s", "settlement_timeout_s", "7", 7.0),
    ("ledger", "crash_reservation", "after_crash", "release", "release"),
    ("quotas", "on_unaffordable", "on_over_budget", "refuse", "refuse"),
    ("providers.openrouter", "provisioning_key", "management_key", "sk-or-prov-1", Secret("sk-or-prov-1")),
]


def _block_of(settings: Settings, name: str) -> object:
    return settings.providers["openrouter"] if name == "providers.openrouter" else getattr(settings, name)


def _in_block(name: str, text: str) -> str:
    return f"providers: {{openrouter: {{{text}}}}}\n" if name == "providers.openrouter" else f"{name}: {{{text}}}\n"


def test_every_older_name_is_tried_here() -> None:
    known = {(block[0], older, name) for block, names in OLDER_NAMES.items() for older, name in names.items()}
    assert {(block.partition(".")[0], older, name) for block, older, name, _, _ in OLDER} == known


@pytest.mark.parametrize(("block", "older", "name", "text", "value"), OLDER)
def test_an_older_name_works_and_is_mentioned(
    folder: Path, block: str, older: str, name: str, text: str, value: object
) -> None:
    loaded = load(folder, _in_block(block, f"{older}: {text}"))
    assert getattr(_block_of(loaded.settings, block), name) == value
    assert [one for one in loaded.warnings if f"{block}.{older}: is now called {name}." in one]
    present = load(folder, _in_block(block, f"{name}: {text}"))
    assert present.settings == loaded.settings
    assert not [one for one in present.warnings if "now called" in one]


@pytest.mark.parametrize(("block", "older", "name", "text", "_value"), OLDER)
@pytest.mark.parametrize("first", [True, False])
def test_both_names_are_a_mistake(
    folder: Path, first: bool, block: str, older: str, name: str, text: str, _value: object
) -> None:
    both = (f"{older}: {text}", f"{name}: {text}")
    problem = refused(folder, _in_block(block, ", ".join(both if first else both[::-1])))
    assert f"{block}.{older}: is the older name of {name}, which is set too. Keep one." in problem


def test_a_mistake_names_the_setting_as_it_is_written(folder: Path) -> None:
    assert "config.yaml:1:16  server.lane: must be true or false" in refused(folder, "server: {lane: fast}\n")


def test_older_names_of_variables(folder: Path) -> None:
    older, name = "TOLLKEEPER_SERVER__LANE", "TOLLKEEPER_SERVER__FAST_PATH"
    loaded = load(folder, "server: {fast_path: true}\n", {**ENV, older: "false"})
    assert loaded.settings.server.fast_path is False
    assert loaded.warnings == (f"the environment variable {older} is now called {name}. The older name still works.",)
    both = {**ENV, older: "false", name: "false"}
    problem = refused(folder, "", both)
    assert f"{older} (server.fast_path): is the older name of {name}, which is set too. Keep one." in problem


def test_aliases_are_written_out(folder: Path) -> None:
    loaded = load(folder, "users:\n  a: &same {limits: {cost: $1/day}}\n  b: *same\n")
    assert loaded.settings.users["a"] == loaded.settings.users["b"]


def test_crlf_and_a_byte_order_mark_are_fine(folder: Path) -> None:
    path = folder / "config.yaml"
    path.write_bytes(b"\xef\xbb\xbfserver:\r\n  port: 9\r\n")
    assert load_file(path, ENV).settings.server.port == 9


@pytest.mark.parametrize(
    ("target", "expected"),
    [
        ("openai/gpt-5-mini", ("openrouter", "openai/gpt-5-mini")),
        ("local/qwen3", ("local", "qwen3")),
        ("local/org/model", ("local", "org/model")),
        ("openrouter/openai/gpt-5", ("openrouter", "openai/gpt-5")),
        ("openrouter/auto", ("openrouter", "openrouter/auto")),
        ("qwen3", ("openrouter", "qwen3")),
        ("local", ("openrouter", "local")),
    ],
)
def test_split_target(folder: Path, target: str, expected: Any) -> None:
    providers = load(folder, "providers: {openrouter: , local: {base_url: 'http://127.0.0.1:8/v1'}}").settings.providers
    assert split_target(target, providers) == expected


def test_split_target_without_a_provider() -> None:
    with pytest.raises(LookupError):
        split_target("a/b", {})


# --- where values come from


def test_flag_beats_variable_beats_file(folder: Path) -> None:
    text = "server: {port: 1}\nlog: {level: debug}\n"
    environ = {**ENV, "TOLLKEEPER_PORT": "2", "TOLLKEEPER_HOST": ""}
    assert load(folder, text).settings.server.port == 1
    assert load(folder, text, environ).settings.server.port == 2
    loaded = load(folder, text, environ, server__port="3")
    assert loaded.settings.server.port == 3
    assert loaded.settings.server.host == "127.0.0.1"
    assert loaded.origins["server", "port"] == "--port"
    assert loaded.origins["log", "level"] == "config.yaml:2"


def test_every_section_can_be_set_by_variables(folder: Path) -> None:
    environ = {
        **ENV,
        "TOLLKEEPER_SERVER__HOSTS": "llm.lan, llm.home",
        "TOLLKEEPER_SERVER__BODY_MAX_BYTES": "1MiB",
        "TOLLKEEPER_LEDGER__SETTLE_WAIT_S": "2.5",
        "TOLLKEEPER_CURRENCY__USD_RATE": "0.91",
        "TOLLKEEPER_ADMIN_TOKEN": "top-secret",
    }
    settings = load(folder, "", environ).settings
    assert settings.server.hosts == ("llm.lan", "llm.home")
    assert settings.server.body_max_bytes == 2**20
    assert settings.ledger.settlement_timeout_s == 2.5
    assert settings.currency.usd_rate == Decimal("0.91")
    assert settings.admin_token == Secret("top-secret")


def test_a_path_on_the_command_line_begins_at_the_current_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "etc").mkdir()
    monkeypatch.chdir(tmp_path)
    path = write(tmp_path / "etc", "database: x.db\n")
    assert load_file(path, ENV).settings.database == tmp_path / "etc/x.db"
    assert load_file(path, ENV, {"database": "y.db"}).settings.database == tmp_path / "y.db"
    assert load_file(path, {**ENV, "TOLLKEEPER_DATABASE": "z.db"}).settings.database == tmp_path / "z.db"


def test_the_state_directory_of_systemd_holds_the_ledger_unless_the_file_says_otherwise(folder: Path) -> None:
    environ = {**ENV, "STATE_DIRECTORY": f"{folder}/state:{folder}/other"}
    assert load(folder, "", environ).settings.database == folder / "state/tollkeeper.db"
    assert load(folder, "database: x.db", environ).settings.database == folder / "x.db"
    assert data_dir(environ) == folder / "state"


def test_a_slip_in_a_variable_is_told(folder: Path) -> None:
    loaded = load(folder, "", {**ENV, "TOLLKEEPER_PROT": "1", "TOLLKEEPER_TOKEN_OF_MINE": "x"})
    assert loaded.warnings == ("the environment variable TOLLKEEPER_PROT sets nothing. Did you mean TOLLKEEPER_PORT?",)


def test_find_config(tmp_path: Path) -> None:
    environ = {"HOME": str(tmp_path / "home")}
    cwd = tmp_path / "here"
    cwd.mkdir()
    home = tmp_path / "home/.config/tollkeeper/config.yaml"
    home.parent.mkdir(parents=True)
    assert find_config(None, environ, cwd) in (None, Path("/etc/tollkeeper/config.yaml"))
    home.write_text("")
    assert find_config(None, environ, cwd) == home
    (cwd / "config.yaml").write_text("")
    assert find_config(None, environ, cwd) == cwd / "config.yaml"
    (cwd / "other.yaml").write_text("")
    assert find_config(None, {**environ, "TOLLKEEPER_CONFIG": "other.yaml"}, cwd) == cwd / "other.yaml"
    assert find_config(home, {**environ, "TOLLKEEPER_CONFIG": "other.yaml"}, cwd) == home
    with pytest.raises(ConfigError, match=r"nothere.yaml: there is no such file \(-c\)"):
        find_config("nothere.yaml", environ, cwd)
    with pytest.raises(ConfigError, match="TOLLKEEPER_CONFIG"):
        find_config(None, {"TOLLKEEPER_CONFIG": "nothere.yaml"}, cwd)


# --- mistakes: the exact texts

_PROVIDER = "providers: {openrouter: }\n"
_BACKWARDS = """
providers:
  p:
    base_url: http://h/v1
    keys: [{name: a, api_key: x, valid_from: 2027-01-01T00:00:00Z, valid_until: 2026-01-01T00:00:00Z}]
"""

_MISTAKES = [
    # YAML itself
    (
        "a:\n  b:\n    x: 1\n   c: 2\n",
        (
            "config.yaml:4:4  this line is indented by 3 spaces; the keys above it (line 2) by 2. Line them up.\n"
            "     2 |   b:\n     4 |    c: 2\n       |    ^"
        ),
    ),
    (
        "server:\n\tport: 1\n",
        "config.yaml:2:1  this line is indented with a tab. Use spaces.\n     2 |  port: 1\n       | ^",
    ),
    (
        "a: 1\nb:  {a: ${KEY}}\n",
        'config.yaml:2:9  put quotes around "${KEY}" inside { }.\n     2 | b:  {a: ${KEY}}\n       |         ^',
    ),
    (
        "listen:8787\nlog:\n",
        'config.yaml:1:7  a space is missing after "listen:".\n     1 | listen:8787\n       |       ^',
    ),
    (
        "listen:8787\n",
        'config.yaml:1:7  a space is missing after "listen:".\n     1 | listen:8787\n       |       ^',
    ),
    ("log: {level: 'info}\n", "config.yaml:1:14  this quote is not closed."),
    ("users:\n  a: {models: [*]}\n", 'config.yaml:2:16  put quotes around text that begins with *, like "*".'),
    ("users:\n  a: {models: *}\n", 'config.yaml:2:15  put quotes around text that begins with *, like "*".'),
    ("- a\n", 'config.yaml:1:1  the file must hold settings ("name: value").'),
    ("just text\n", 'config.yaml:1:1  the file must hold settings ("name: value").'),
    (
        "log: {level: info}\nlog: {level: debug}\n",
        'config.yaml:2:1  "log" stands here a second time; the first is in line 1.',
    ),
    ("log: !env x\n", "config.yaml:1:6  tags like !x have no meaning here."),
    ("log: {}\n---\nlog: {}\n", "config.yaml:2:1  a second document begins here. Keep one."),
    ("log: \x07\n", "config.yaml:1:6  a character U+0007 that YAML does not allow."),
    ("log: *x\n", 'config.yaml:1:6  "*x" refers to an anchor &x that is not defined before it.'),
    ("log: &x [*x]\n", 'config.yaml:1:10  "*x" refers to an anchor &x that is not defined before it.'),
    (
        "server:\n  port:8787\n",
        'server: must be a block of settings (name: value); found "port:8787". A space is missing after "port:".',
    ),
    # names
    (
        "providers:\n  local:\n    base_ur: http://localhost:11434/v1\n",
        (
            'config.yaml:3:5  providers.local.base_ur: unknown key "base_ur". Did you mean "base_url"?\n'
            "     3 |     base_ur: http://localhost:11434/v1\n       |     ^"
        ),
    ),
    ("port: 8787\n", 'config.yaml:1:1  port: unknown key "port". It belongs under server:.'),
    ("model_list: []\n", 'config.yaml:1:1  model_list: unknown key "model_list". Did you mean "presets"?'),
    ("xyzzy: 1\n", 'config.yaml:1:1  xyzzy: unknown key "xyzzy". Known here: server, database'),
    (
        "users: {a: {rpm: 60}}\n",
        'config.yaml:1:13  users.a.rpm: unknown key "rpm". Write limits: {requests: 60/minute}.',
    ),
    ("limits: {tpm: 60}\n", 'config.yaml:1:10  limits.tpm: unknown key "tpm". Write tokens: 100k/minute.'),
    (
        "defaults: {limits: {max_budget: 5, budget_duration: 30d, max_parallel_requests: 2}}\n",
        'config.yaml:1:21  defaults.limits.max_budget: unknown key "max_budget". Write cost: $10/month.',
    ),
    ("users: {a b: {}}\n", "config.yaml:1:9  users.a b: a name is 1 to 64 letters, digits or . _ @ + -."),
    ("providers: {a/b: {base_url: 'http://x/v1'}}\n", "config.yaml:1:13  providers.a/b: a provider's name is 1 to 64"),
    ("log: {<<: {level: info}}\n", 'config.yaml:1:7  log.<<: unknown key "<<". Merge keys belong to YAML 1.1.'),
    # values
    (
        "users:\n  ci:\n    limits:\n      concurrency: -1\n",
        (
            "config.yaml:4:20  users.ci.limits.concurrency: must be at least 1; found -1.\n"
            "     4 |       concurrency: -1\n       |                    ^"
        ),
    ),
    ("server: {port: http}\n", 'config.yaml:1:16  server.port: must be a whole number; found "http".'),
    ("server: {port: 1.5}\n", "config.yaml:1:16  server.port: must be a whole number; found 1.5."),
    ("server: {port: 65536}\n", "config.yaml:1:16  server.port: must be at most 65535; found 65536."),
    (
        "server: {allow_insecure: on}\n",
        'config.yaml:1:26  server.allow_insecure: must be true or false; found "on".',
    ),
    (
        "server: {body_max_bytes: 32MBit}\n",
        "config.yaml:1:26  server.body_max_bytes: must be a size in bytes or like 32MiB;",
    ),
    ("server: {body_max_bytes: 1}\n", "config.yaml:1:26  server.body_max_bytes: must be at least 1024; found 1."),
    (
        "server: {head_timeout_s: 10s}\n",
        'config.yaml:1:26  server.head_timeout_s: must be a number of seconds; found "10s".',
    ),
    ("server: {head_timeout_s: 0}\n", "config.yaml:1:26  server.head_timeout_s: must be more than 0; found 0."),
    ("server: 8787\n", "config.yaml:1:9  server: must be a block of settings (name: value); found 8787."),
    ("server: [a]\n", "config.yaml:1:9  server: must be a block of settings (name: value)."),
    ("users: [anna]\n", "config.yaml:1:8  users: must be a block of settings (name: value)."),
    ("server: {hosts: 'a b'}\n", 'config.yaml:1:17  server.hosts: must be a list; found "a b".'),
    (
        "server: {hosts: [a, 'b:80']}\n",
        "config.yaml:1:21  server.hosts[1]: must be a host name or an IP address without port;",
    ),
    (
        "server: {origins: ['https://a/b']}\n",
        "config.yaml:1:20  server.origins[0]: must be an origin like https://app.example.com",
    ),
    (
        "server: {host: 0.0.0.0}\n",
        (
            "config.yaml:1:16  server.host: 0.0.0.0 can be reached from other machines, and tokens would travel "
            "unencrypted. Listen on 127.0.0.1 behind a proxy that speaks TLS (Caddy, nginx), "
            "or set server.allow_insecure: true."
        ),
    ),
    (
        "timezone: Europe/Stockhlm\n",
        (
            'config.yaml:1:11  timezone: must be the name of a time zone; found "Europe/Stockhlm". '
            'Did you mean "Europe/Stockholm"?'
        ),
    ),
    ("timezone: ../../etc/passwd\n", "config.yaml:1:11  timezone: must be the name of a time zone;"),
    ("currency: {code: kr}\n", 'config.yaml:1:18  currency.code: must be three capital letters like SEK; found "kr".'),
    ("currency: {usd_rate: 0}\n", "config.yaml:1:22  currency.usd_rate: must be more than 0; found 0."),
    ("currency: {rates: {2026-11-31: 10}}\n", "1:20  currency.rates.2026-11-31: must be a date like 2026-11-01."),
    (
        "currency: {rates: {2026-11-30: 0}}\n",
        "config.yaml:1:32  currency.rates.2026-11-30: must be more than 0, and at most 1000000000; found 0.",
    ),
    (
        "currency: {usd_rate: 1, ecb_file: x.xml}\n",
        "currency.ecb_file: stands beside usd_rate. Keep one of usd_rate, rates and ecb_file.",
    ),
    (
        "currency: {code: EUR}\n",
        "1:18  currency.code: has no rate: 1 USD would count as 1 of it. Set usd_rate, rates or",
    ),
    (
        "currency: {code: EUR, rates: {}}\n",
        "1:18  currency.code: has no rate: 1 USD would count as 1 of it. Set usd_rate,",
    ),
    (
        "currency: {ecb_url: https://bank.example/x.xml}\n",
        "currency.ecb_url: has no place to go. Name the file that it is written to with ecb_file.",
    ),
    (
        "log: {level: lots}\n",
        'config.yaml:1:14  log.level: must be "debug", "info", "warning" or "error"; found "lots".',
    ),
    (
        "database: postgresql://x/y\n",
        "config.yaml:1:11  database: must be the path of a file; other databases are not supported.",
    ),
    ("database: ':memory:'\n", "config.yaml:1:11  database: must be the path of a file; found"),
    ("limits: {cost: $2/dya}\n", 'found "$2/dya". Did you mean "day"?'),
    (
        "limits: {cost: [$2/day, $3/day]}\n",
        "config.yaml:1:16  limits.cost: has two limits over day. Keep the lower one.",
    ),
    ("limits: {cost: {amount: 2, window: dya}}\n", "config.yaml:1:36  limits.cost.window: must have a window of"),
    (
        "limits: {requests: [60]}\n",
        "config.yaml:1:21  limits.requests[0]: needs a window; found 60. Write it like 60/minute.",
    ),
    ("users: {a: {max_tokens: 0}}\n", "config.yaml:1:25  users.a.max_tokens: must be at least 1; found 0."),
    ("users: {a: {models: []}}\n", "config.yaml:1:21  users.a.models: must have at least 1 entry."),
    (
        "users: {a: {expires_at: 2027-01-31}}\n",
        "config.yaml:1:25  users.a.expires_at: must be a time with its zone like 2027-01-31T00:00:00Z; found",
    ),
    ("users: {a: {token_hash: abc}}\n", 'config.yaml:1:25  users.a.token_hash: must be "sha256:" and 64 hex digits.'),
    # across settings
    (
        "users: {a: {group: famly}}\ngroups: {family: {}}\n",
        'config.yaml:1:20  users.a.group: there is no group "famly". Did you mean "family"?',
    ),
    ("users: {a: {group: x}}\n", 'config.yaml:1:20  users.a.group: there is no group "x". Add it under groups:.'),
    (
        f"users:\n  a: {{token_hash: '{HASH}'}}\n  b: {{token_hashes: ['{HASH}']}}\n",
        'config.yaml:3:22  users.b.token_hashes[0]: is the token of user "a" too. Each user needs their own.',
    ),
    (f"users:\n  a: {{token_hashes: ['{HASH}', '{HASH}']}}\n", "users.a.token_hashes[1]: is in this list twice."),
    (
        "providers: {openrouter: }\npresets: {a: [gpt-5]}\n",
        'config.yaml:2:15  presets.a[0]: "gpt-5" is unknown: models of openrouter are written maker/model.',
    ),
    (
        "providers: {openrouter: }\npresets: {a: b/c, b: [a]}\n",
        'config.yaml:2:23  presets.b[0]: "a" is a preset itself. Write its models here.',
    ),
    (
        "providers: {openrouter: }\npresets: {a: {targets: openrouter/}}\n",
        "config.yaml:2:24  presets.a.targets: names no model.",
    ),
    (
        "providers: {p: {base_url: 'http://h/v1', api_key: x, keys: [{name: a, api_key: y}]}}\n",
        "providers.p.keys: is set together with api_key. Make that one of the keys, or remove it.",
    ),
    (
        "providers: {p: {base_url: 'http://h/v1', keys: [{name: a}]}}\n",
        "providers.p.keys[0]: has no key. Write api_key: ${VAR}, or use api_key_file:.",
    ),
    (
        "providers: {p: {base_url: 'http://h/v1', keys: [{name: a, api_key: x}, {name: a, api_key: y}]}}\n",
        "providers.p.keys: has two keys named a.",
    ),
    (_BACKWARDS, "valid_until: ends before it begins."),
    ("presets: {a: b/c}\nuse_cases: {sms: aa}\n", 'use_cases.sms: there is no preset "aa". Did you mean "a"?'),
    (
        "users: {a: {provider_keys: {openruter: x}}}\n",
        'users.a.provider_keys.openruter: there is no provider "openruter".',
    ),
    ("presets: {a: [{static: {default: x}}, b/c]}\n", "presets.a: has a static target before the last one."),
    ("presets: {a: [b/c, {static: {x: y}}]}\n", "static: has no text for all other cases. Add default: and a text."),
    ("presets: {a: [{weight: 1}]}\n", "presets.a[0]: needs either target or static."),
    (
        "presets: {a: {targets: b/c, system: 'in {x}', variables: {y: z}}}\n",
        'presets.a.variables: "y" does not occur in system. Write {y} there.',
    ),
    (
        "presets: {a: {targets: b/c, system: 'in {x}', variables: {x: {default: z, values: [q]}}}}\n",
        "presets.a.variables.x.default: must be one of q.",
    ),
    ("presets: {a: {targets: b/c, checks: {pattern: '('}}}\n", "checks.pattern: is not a regular expression:"),
    (
        "providers: {openrouter: , p: {base_url: 'http://h/v1'}}\npresets: {a: {targets: [p/c], hand_over: true}}\n",
        "presets.a.hand_over: needs targets at OpenRouter; none of these is.",
    ),
    ("presets: {a: []}\n", "config.yaml:1:14  presets.a: must have at least 1 entry."),
    (
        "presets: {a: {targets: x/y, defaults: {model: z}}}\n",
        "config.yaml:1:47  presets.a.defaults.model: must come from the client and cannot have a default.",
    ),
    (
        "providers: {local: {}}\n",
        "config.yaml:1:13  providers.local.base_url: is missing. Address of its API up to /v1.",
    ),
    (
        "providers: {local: {base_url: localhost:11434}}\n",
        "config.yaml:1:31  providers.local.base_url: must be a URL like https://api.example.com/v1;",
    ),
    (
        "providers: {local: {base_url: 'https://u:p4ssw0rd@h/v1'}}\n",
        "providers.local.base_url: must not hold a user or password. Use api_key: or headers:.",
    ),
    (
        "providers: {local: {kind: openai, base_url: 'http://h/v1', prices: {'*': {input: -1}}}}\n",
        "prices.*.input: must be at least 0; found -1.",
    ),
    (
        "providers: {local: {base_url: 'http://h/v1', headers: {Host: x}}}\n",
        "providers.local.headers.Host: is a header that Tollkeeper sets itself.",
    ),
]


@pytest.mark.parametrize(("text", "expected"), _MISTAKES, ids=[repr(text[:50]) for text, _ in _MISTAKES])
def test_one_mistake(folder: Path, text: str, expected: Any) -> None:
    said = refused(folder, text)
    assert expected in said
    if "\n" in expected:
        assert expected == said


@pytest.mark.parametrize(
    ("text", "environ", "expected"),
    [
        (
            "log:\nproviders:\n  openrouter:\n    api_key: ${OPENROUTER_API_KEY}\n",
            {},
            (
                "config.yaml:4:14  providers.openrouter.api_key: the environment variable OPENROUTER_API_KEY is not "
                "set. Set it, or use api_key_file:. Create a key at https://openrouter.ai/keys\n"
                "     4 |     api_key: ${OPENROUTER_API_KEY}\n       |              ^"
            ),
        ),
        (
            "providers: {openrouter: }\n",
            {},
            (
                "config.yaml:1:13  providers.openrouter.api_key: is missing. Write api_key: ${OPENROUTER_API_KEY}, or "
                "use api_key_file:. Create a key at https://openrouter.ai/keys\n"
                "     1 | providers: {openrouter: }\n       |             ^"
            ),
        ),
        (
            "admin_token: ${ADMIN:?put ADMIN into .env}\n",
            ENV,
            (
                "config.yaml:1:14  admin_token: put ADMIN into .env. Set it, or write ${NAME:-value} for a "
                "value without it.\n"
                "     1 | admin_token: ${ADMIN:?put ADMIN into .env}\n       |              ^"
            ),
        ),
        (
            "server:\n  port: ${PORT}\n",
            {**ENV, "PORT": "eighty"},
            (
                "config.yaml:2:9  server.port: must be a whole number; found the value of ${PORT}.\n"
                "     2 |   port: ${PORT}\n       |         ^"
            ),
        ),
        ("", {**ENV, "TOLLKEEPER_PORT": "eighty"}, "TOLLKEEPER_PORT (server.port): must be a whole number."),
        (
            "",
            {},
            (
                "config.yaml  providers: none is configured. Set OPENROUTER_API_KEY, or write providers: {openrouter: "
                '{api_key: "${OPENROUTER_API_KEY}"}}.'
            ),
        ),
    ],
)
def test_one_mistake_with_the_environment(folder: Path, text: str, environ: dict[str, str], expected: Any) -> None:
    assert refused(folder, text, environ) == expected


def test_a_flag_is_named_in_its_mistake(folder: Path) -> None:
    assert refused(folder, "", server__port="http") == "--port (server.port): must be a whole number."


def test_every_mistake_at_once_and_in_order(folder: Path) -> None:
    said = refused(
        folder,
        """\
server: {port: http, host: 0.0.0.0}
server: {}
timezone: Mars
providers:
  openrouter: {api_key: "${NOT_THERE}"}
  local: {base_ur: x}
presets: {a: [nothing]}
limits: {rpm: 1, cost: $1/dy}
users:
  anna: {group: nobody, token_hash: "sha256:1"}
  bo b: {}
""",
    )
    places = [line.split("  ")[0] for line in said.splitlines() if line.startswith("config.yaml")]
    assert [tuple(map(int, place.split(":")[1:])) for place in places] == sorted(
        [
            (1, 16),
            (1, 28),
            (2, 1),
            (3, 11),
            (5, 25),
            (6, 11),
            (7, 15),
            (8, 10),
            (8, 24),
            (10, 17),
            (10, 37),
            (11, 3),
        ]
    )


def test_no_mistake_is_told_twice(folder: Path) -> None:
    said = refused(folder, "providers: {local: {base_url: '${URL}', api_key: '${KEY}'}}\nserver: {port: '${PORT}'}\n")
    assert len(re.findall("^config.yaml", said, re.MULTILINE)) == 3


def test_a_thousand_mistakes_are_cut(folder: Path) -> None:
    said = refused(folder, "users:\n" + "".join(f"  u{number}: {{x: 1}}\n" for number in range(1000)))
    assert said.endswith("and 900 more mistakes.")


def test_a_long_line_is_shown_around_the_mistake(folder: Path) -> None:
    said = refused(folder, "users: {" + ", ".join(f"u{n}: {{}}" for n in range(100)) + ", bad: {x: 1}}\n")
    head, line, caret = said.splitlines()
    assert len(line) < 140
    assert line[caret.index("^")] == "x"
    assert "users.bad.x" in head


def test_what_no_text_can_be(folder: Path) -> None:
    path = folder / "config.yaml"
    path.write_bytes(b"log:\n  level: \xff\n")
    with pytest.raises(ConfigError, match=r"config.yaml:2:10  not UTF-8"):
        load_file(path, ENV)
    path.write_bytes(b"#" * (10 * 2**20 + 1))
    with pytest.raises(ConfigError, match="larger than 10 MiB"):
        load_file(path, ENV)
    with pytest.raises(ConfigError, match="cannot be read"):
        load_file(folder, ENV)


def test_bombs_are_refused_quickly(folder: Path) -> None:
    laughs = "a: &a [x, x, x, x, x, x, x, x, x]\n" + "".join(
        f"{name}: &{name} [{', '.join([f'*{before}'] * 9)}]\n"
        for before, name in zip("abcdefgh", "bcdefghi", strict=True)
    )
    assert "more than 200000 values" in refused(folder, laughs)
    assert "more than 200000 values" in refused(folder, "a: [" + "1," * 300_000 + "]")
    for deep in ("[" * 100_000, "{a: " * 100_000, "- " * 100_000 + "x"):
        assert "nested more than 40 deep" in refused(folder, deep)


# --- warnings and modes

posix = pytest.mark.skipif(os.name != "posix", reason="file modes")


@posix
def test_a_key_in_a_file_that_others_may_read(folder: Path) -> None:
    text = f"admin_token: {KEY}\nproviders: {{openrouter: {{api_key: '{KEY}'}}}}\n"
    loaded = load_file(write(folder, text, 0o644), ENV)
    assert [warning.split("  ")[0] for warning in loaded.warnings] == ["config.yaml:1:14", "config.yaml:2:35"]
    assert KEY not in "".join(loaded.warnings)
    assert load_file(write(folder, text, 0o600), ENV).warnings == ()
    assert load_file(write(folder, "admin_token: ${OPENROUTER_API_KEY}\n", 0o644), ENV).warnings == ()


@posix
def test_a_file_that_others_may_write(folder: Path) -> None:
    with pytest.raises(ConfigError, match="chmod o-w"):
        load_file(write(folder, "", 0o646), ENV)
    assert "its group can write" in load_file(write(folder, "", 0o660), ENV).warnings[0]


def test_likely_slips_are_warned_about(folder: Path) -> None:
    loaded = load(
        folder,
        (
            "providers: {openrouter: , local: {base_url: 'http://10.0.0.9/v1', api_key: '${OPENROUTER_API_KEY}'}}\n"
            "presets: {fast: loca/qwen3}\nusers: {a: {models: [fats]}}\ncurrency: {usd_rate: 0.9}\n"
        ),
    )
    text = "\n".join(loaded.warnings)
    assert "providers.local.base_url: the key and all prompts cross the network unencrypted" in text
    assert 'config.yaml:2:17  presets.fast: "loca" is not a provider' in text
    assert (
        'users.a.models[0]: "fats" is neither a preset nor maker/model, so it allows nothing. Did you mean "fast"?'
        in text
    )
    assert "currency: gives a rate for USD, which the ledger is in" in text


# --- key files


def key_file(folder: Path, content: bytes = KEY.encode() + b"\n", mode: int = 0o600) -> Path:
    path = folder / "secret_key"
    path.write_bytes(content)
    path.chmod(mode)
    return path


def test_a_key_from_a_file(folder: Path) -> None:
    path = key_file(folder)
    text = "providers: {openrouter: {api_key_file: ./secret_key}}\n"
    loaded = load(folder, text, {})
    assert loaded.settings.providers["openrouter"].api_key == Secret(KEY)
    assert loaded.watched == (folder / "config.yaml", path)
    path.write_bytes(b"sk-rotated\n")
    again = load(folder, text, {})
    assert again.settings.providers["openrouter"].api_key == Secret("sk-rotated")
    assert again.fingerprint != loaded.fingerprint


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (b"", "the file holds no key. It must hold the key alone, in one line."),
        (b"  \n", "the file holds no key."),
        (b"sk-a\nsk-b\n", "the file holds no key."),
        (b"sk-\xff", "the file holds no key. It must hold the key alone, as plain text."),
        (b"x" * 70_000, "the file is too large to hold a key."),
    ],
)
def test_a_file_that_holds_no_key(folder: Path, content: bytes, expected: Any) -> None:
    key_file(folder, content)
    said = refused(folder, "providers: {openrouter: {api_key_file: secret_key}}\n", {})
    assert f"config.yaml:1:40  providers.openrouter.api_key_file: {expected}" in said
    assert said.count("config.yaml:") == 1


def test_a_key_file_that_is_not_there_or_stands_beside_a_key(folder: Path) -> None:
    said = refused(folder, "providers: {openrouter: {api_key_file: nothere}}\n")
    assert f"{folder}/nothere cannot be read: No such file or directory." in said
    key_file(folder)
    said = refused(folder, "providers: {openrouter: {api_key: x, api_key_file: secret_key}}\n")
    assert "providers.openrouter.api_key_file: is set together with api_key. Keep one of them." in said


@posix
def test_a_key_file_that_others_may_read(folder: Path) -> None:
    text = "providers: {openrouter: {api_key_file: secret_key}}\n"
    for mode in (0o644, 0o604, 0o620):
        key_file(folder, mode=mode)
        assert f"is open to others (mode {mode:04o}). Run: chmod 600 {folder}/secret_key" in refused(folder, text)
    key_file(folder, mode=0o640)
    assert load(folder, text).settings.providers["openrouter"].api_key == Secret(KEY)
    # systemd makes its folder of credentials visible to the service alone
    key_file(folder, mode=0o444)
    assert load(folder, text, {"CREDENTIALS_DIRECTORY": str(folder)}).settings.providers["openrouter"].api_key


# --- fingerprint


def test_the_fingerprint_follows_the_text(folder: Path) -> None:
    first = load(folder, "log: {level: info}\n")
    assert load(folder, "log: {level: info}\n").fingerprint == first.fingerprint
    assert load(folder, "log: {level: info} \n").fingerprint != first.fingerprint


# --- nothing secret in any text

_SECRETS = {
    "env": "sk-or-v1-CANARYENV00112233",
    "literal": "CANARYLITERAL445566",
    "admin": "CANARYADMIN778899",
    "header": "Bearer CANARYHEADER001",
    "file": "CANARYFILE99887766",
}


@pytest.mark.parametrize(
    "broken",
    [
        "",
        "server: {port: '${OPENROUTER_API_KEY}'}\n",
        "log: {level: '${OPENROUTER_API_KEY}'}\n",
        "timezone: ${OPENROUTER_API_KEY}\n",
        "timezone: CANARYLITERAL445566\n",
        "timezone: sk-or-v1-CANARYSTRAY0011\n",
        "users: {CANARYLITERAL445566: 1}\n",
        "presets: {a: {system: [sk-or-v1-CANARYSTRAY0011]}}\n",
        "xyzzy: ${OPENROUTER_API_KEY}\n",
        "api_ky: CANARYLITERAL445566\n",
        "openrouter_api_key: CANARYLITERAL445566\n",
        "users: {a: {token: CANARYLITERAL445566}}\n",
        "users: {a: {token_hash: tk-CANARYLITERAL445566}}\n",
        "admin_token: CANARYLITERAL445566\n",
        "admin_token CANARYLITERAL445566\nx: 1\n",
        "admin_token:CANARYLITERAL445566\nx: 1\n",
        "admin_token: 'CANARYLITERAL445566\n",
        "admin_token: @CANARYLITERAL445566\n",
        "admin_token: {CANARYLITERAL445566\n",
        "admin_token: [CANARYLITERAL445566, {a: CANARYADMIN778899}]\n",
        'admin_token: "CANARYLITERAL445566\\nX"\n',
        "admin_token: CANARYLITERAL445566: x\n",
        "groups: {g: {models: [CANARYLITERAL445566, 1, {x: 1}]}, api_key: CANARYLITERAL445566}\n",
    ],
)
@pytest.mark.parametrize("port", ["8787", "x", "[", "\t"])
def test_no_secret_in_any_mistake(folder: Path, broken: str, port: str) -> None:
    key_file(folder, (_SECRETS["file"] + " x").encode())
    literal, header, admin = _SECRETS["literal"], _SECRETS["header"], _SECRETS["admin"]
    text = (
        "providers:\n"
        f"  openrouter: {{api_key: '{literal}', headers: {{X-A: '{header}', 'b c': 'CANARYHEADER001'}}}}\n"
        "  a: {api_key_file: secret_key, base_url: 'https://user:CANARYURL445566@h/v1'}\n"
        f"  b: {{api_kye: '{literal}', management_key: '{admin}\u00e9', base_url: 1}}\n"
        f"{broken}"
        f"server: {{port: {port}, xyzzy: 1}}\n"
    )
    environ = {"OPENROUTER_API_KEY": _SECRETS["env"], "TOLLKEEPER_ADMIN_TOKEN": admin + "\n"}
    said = refused(folder, text, environ)
    assert not re.findall("CANARY[A-Z]+", said), said


def test_the_value_at_a_secret_setting_is_never_quoted(folder: Path) -> None:
    """Not even one so short that it is not looked for elsewhere in the text."""
    said = refused(folder, "providers: {a: {base_url: 'http://h/v1', headers: pin, api_key: [pi]}}\n")
    assert "headers: must be a block of settings (name: value)." in said
    assert not re.findall("pin|pi\\b", said.replace("providers", ""))


def test_no_secret_in_the_settings_as_text(folder: Path) -> None:
    text = f"admin_token: {KEY}\nproviders: {{openrouter: {{api_key: {KEY}, headers: {{A: {KEY}}}}}}}\n"
    loaded = load(folder, text)
    shown = (repr(loaded), str(loaded.settings), json.dumps(as_json(loaded)), repr(as_json(loaded)))
    assert all(KEY not in one for one in shown)


# --- whatever stands in the file, it is read or refused with a text

EXAMPLE = (Path(__file__).parents[2] / "config.example.yaml").read_text(encoding="utf-8")
_POOL = [
    *"{}[]:,'\"*&!|>%@`#-?\t\n \\$",
    "\x00",
    "\x85",
    "\u2028",
    "é",
    "\ufeff",
    "${",
    "${X}",
    "- ",
    ": ",
    "1e99",
    "~",
    "<<: *a",
    "\n  ",
]


def outcome(path: Path) -> str | None:
    """Give the refusal, or None where the file loads and what it says can be shown."""
    try:
        loaded = load_file(path, ENV)
    except ConfigError as error:
        return str(error)
    assert list(effective(loaded))
    assert as_json(loaded)
    return None


@settings(max_examples=count(400, 0.15), deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.data())
def test_a_mutated_example_is_read_or_refused(tmp_path: Path, data: st.DataObject) -> None:
    text = EXAMPLE
    for _ in range(data.draw(st.integers(1, 4))):
        at = data.draw(st.integers(0, len(text)))
        cut = data.draw(st.integers(0, 12))
        text = text[:at] + data.draw(st.sampled_from(_POOL)) + text[at + cut :]
    path = tmp_path / "config.yaml"
    path.write_text(text, encoding="utf-8")
    path.chmod(0o600)
    said = outcome(path)
    assert said is None or said.strip()
    assert KEY not in str(said)


yaml_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=12)
    | st.sampled_from(["$1/day", HASH, "${X}"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=6), inner, max_size=3),
    max_leaves=8,
)
_NAMES = sorted({name for block in schema_blocks().values() for name in block.fields})


@settings(max_examples=count(400, 0.3), deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.recursive(
        yaml_values,
        lambda inner: st.dictionaries(st.sampled_from(_NAMES) | st.text(max_size=4), inner, max_size=4),
        max_leaves=12,
    )
)
def test_any_value_at_any_setting_is_read_or_refused(tmp_path: Path, value: object) -> None:
    path = tmp_path / "config.yaml"
    path.write_text(json.dumps(value), encoding="utf-8")
    path.chmod(0o600)
    said = outcome(path)
    assert said is None or said.strip()


def test_keys_of_a_provider_are_read_from_files_and_never_shown(tmp_path: Path) -> None:
    file = tmp_path / "b.key"
    file.write_text("sk-secret-of-b\n")
    file.chmod(0o600)
    loaded = load(
        tmp_path,
        "providers:\n  p:\n    base_url: http://h/v1\n    keys:\n"
        "      - {name: main, api_key: sk-secret-of-a}\n      - {name: b, api_key_file: b.key, weight: 2}\n",
    )
    first, second = loaded.settings.providers["p"].keys
    assert first.api_key is not None
    assert second.api_key is not None
    assert (first.api_key.reveal(), second.api_key.reveal(), second.weight) == ("sk-secret-of-a", "sk-secret-of-b", 2)
    assert file in loaded.watched
    with pytest.raises(ConfigError) as error:
        load(tmp_path, "providers: {p: {base_url: 'http://h/v1', keys: [sk-secret-of-a, {name: main, weight: x}]}}\n")
    assert "secret" not in str(error.value)
    assert "main" in str(error.value)
