"""From a file to settings: read, parse, substitute variables, check, and report every mistake at once.

Where a value comes from, strongest first: flag, TOLLKEEPER_* variable, file, default.
"""

import hashlib
import os
import stat
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

from msgspec import Struct, field
from msgspec.structs import replace

from proxy.config import yaml_tree
from proxy.config.check import NO_BLOCK, BlockError
from proxy.config.check import Path as SettingPath
from proxy.config.cross_checks import mistakes_across, warnings_across
from proxy.config.diagnostic import Diagnostic, Mark, MistakesError, SettingError
from proxy.config.diagnostic_texts import Finding, findings
from proxy.config.environment import is_list, likely_slips, overrides_in, set_twice
from proxy.config.older_names import present_names
from proxy.config.outbound import environment_proxy, holds_certificates, read_proxy_url
from proxy.config.redact import is_sensitive, mask, mask_line, redacted, secrets_in
from proxy.config.scalars import NULLS, NUMBER, PlainText
from proxy.config.schema import BASE_URLS, Settings, default_base_url
from proxy.config.setting_path import SettingPlace, locate, written
from proxy.config.variables import names_in, substitute
from proxy.config.yaml_errors import missing_space, split_lines
from proxy.core.errors import ConfigError
from proxy.core.secret import Secret

_KEYS = {"api_key": "OPENROUTER_API_KEY", "management_key": "OPENROUTER_MANAGEMENT_KEY"}
_MAX_KEY_BYTES = 64 * 1024  # a key has about a hundred characters; a wrong file could be a disk image
_MAX_SHOWN = 100  # mistakes; a file with more of them is broken as a whole
_WIDTH = 120  # of a line of the file that is shown
# Where containers mount secrets: readable by all inside, but only the container has the mount.
_MOUNTS = (Path("/run/secrets"), Path("/var/run/secrets"))


class LoadedConfig(Struct, frozen=True):
    """Settings and what belongs to them.

    path: the file, None where there was none. warnings: sentences for the log. fingerprint: changes when the
    text of the file or of a key file changes. watched: the files whose change asks for a new load. origins:
    where each value that is no default comes from, by its path as written ("config.yaml:8",
    "TOLLKEEPER_PORT", "--port"). text: the file, with secrets masked.
    """

    settings: Settings
    path: Path | None
    warnings: tuple[str, ...]
    fingerprint: str
    watched: tuple[Path, ...] = ()
    origins: Mapping[SettingPath, str] = field(default_factory=lambda: MappingProxyType({}))
    text: str = ""


def find_config(explicit: str | Path | None, environ: Mapping[str, str], cwd: Path) -> Path | None:
    """Return the configuration file to read, or None if there is none.

    Order: explicit (-c), TOLLKEEPER_CONFIG, ./config.yaml, $XDG_CONFIG_HOME/tollkeeper/config.yaml,
    /etc/tollkeeper/config.yaml. Raises ConfigError when a file that was named does not exist.
    """
    for named, source in ((explicit, "-c"), (environ.get("TOLLKEEPER_CONFIG"), "TOLLKEEPER_CONFIG")):
        if named:
            path = cwd / Path(named).expanduser()
            if not path.is_file():
                raise ConfigError(f"{path}: there is no such file ({source}). Make one with: tollkeeper init")
            return path
    home = environ.get("XDG_CONFIG_HOME") or str(_home(environ) / ".config")
    for folder in (cwd, Path(home) / "tollkeeper", Path("/etc/tollkeeper")):
        if (folder / "config.yaml").is_file():
            return folder / "config.yaml"
    return None


def data_dir(environ: Mapping[str, str]) -> Path:
    """Return the folder for data where no file sets one: $STATE_DIRECTORY (systemd), else the user's own."""
    state = environ.get("STATE_DIRECTORY", "").split(":")[0]  # systemd separates several by colons
    if state:
        return Path(state)
    return Path(environ.get("XDG_DATA_HOME") or _home(environ) / ".local" / "share") / "tollkeeper"


def _home(environ: Mapping[str, str]) -> Path:
    return Path(environ["HOME"]) if environ.get("HOME") else Path.home()


def load_file(path: Path, environ: Mapping[str, str], overrides: Mapping[str, str] | None = None) -> LoadedConfig:
    """Read a file; overrides are flags by dotted name ("server.port"), stronger than environ.

    Raises ConfigError with one paragraph for each mistake: file:line:column, what is wrong, what to do, the
    line.
    """
    raw, mode = _read(path)
    source = _Source(path, _decode(path, raw), environ)
    reading = _FileReading(source)
    reading.take_file()
    reading.take_overrides(overrides or {})
    reading.take_keys()
    settings = reading.settle()
    reading.warn_about_modes(mode)
    return reading.loaded(settings, raw)


def load_default(environ: Mapping[str, str], overrides: Mapping[str, str] | None = None) -> LoadedConfig:
    """Return the settings for a start without any file: OPENROUTER_API_KEY is enough."""
    return load_text("", None, environ, overrides)


def load_text(
    text: str, path: Path | None, environ: Mapping[str, str], overrides: Mapping[str, str] | None = None
) -> LoadedConfig:
    """Read a text as if it stood in the file at path, or without any file; raises as load_file() does."""
    reading = _FileReading(_Source(path, text, environ))
    reading.take_file()
    reading.take_overrides(overrides or {})
    reading.take_keys()
    return reading.loaded(reading.settle(), text.encode())


def _read(path: Path) -> tuple[bytes, int]:
    try:
        with path.open("rb") as file:
            mode = os.fstat(file.fileno()).st_mode
            raw = file.read(yaml_tree.MAX_BYTES + 1)
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read: {error.strerror}.") from error
    if len(raw) > yaml_tree.MAX_BYTES:
        raise ConfigError(
            f"{path}: larger than {yaml_tree.MAX_BYTES // 2**20} MiB, which is too large for a configuration file."
        )
    if os.name == "posix" and mode & stat.S_IWOTH:
        raise ConfigError(
            f"{path}: everybody on this machine can write to it and so send your keys elsewhere. Run: chmod o-w {path}"
        )
    return raw, mode


def _decode(path: Path, raw: bytes) -> str:
    try:
        return raw.decode("utf-8-sig").replace("\r\n", "\n").replace("\r", "\n")
    except UnicodeDecodeError as error:
        line = raw.count(b"\n", 0, error.start) + 1
        column = error.start - (raw.rfind(b"\n", 0, error.start) + 1) + 1
        raise ConfigError(f"{_shown(path)}:{line}:{column}  not UTF-8. Save the file as UTF-8.") from None


def _kind_by_name(name: str) -> str:
    return "openrouter" if name == "openrouter" else "openai"


def _shown(path: Path) -> str:
    """Return the shortest clear name of a file: relative if it lies below the current folder."""
    try:
        return str(path.absolute().relative_to(Path.cwd()))
    except (ValueError, OSError):
        return str(path)


class _Source(Struct, frozen=True):
    path: Path | None
    text: str
    environ: Mapping[str, str]

    @property
    def shown(self) -> str:
        return _shown(self.path) if self.path is not None else "settings"

    @property
    def folder(self) -> Path:
        return self.path.absolute().parent if self.path is not None else data_dir(self.environ)


class _FileReading:
    """One pass over one file; collects what is wrong until settle() reports it all."""

    def __init__(self, source: _Source) -> None:
        self._source = source
        self._root: yaml_tree.Node | None = None
        self._data: dict[str, Any] = {}
        self._mistakes: list[Diagnostic] = []
        self._warnings: list[str] = []
        self._lost: set[SettingPath] = set()  # values that could not be read: no second mistake about them
        self._given: dict[SettingPath, str] = {}  # settings given by a flag or variable -> its name
        self._origins: dict[SettingPath, str] = {}
        self._variables: set[str] = set()
        self._from_variables: set[SettingPath] = set()
        self._secrets: set[str] = set()
        self._key_files: dict[Path, bytes] = {}

    # --- the steps, in order

    def take_file(self) -> None:
        try:
            parsed = yaml_tree.parse(self._source.text)
        except yaml_tree.UnreadableError as error:
            self._mistakes.append(error.mistake)
            raise self._error() from None
        self._root = parsed.root
        self._mistakes.extend(parsed.mistakes)
        self._secrets.update(secrets_in(parsed.root))
        if isinstance(parsed.root, yaml_tree.MappingNode):
            self._data = self._value(parsed.root, ())
        elif parsed.root is not None:
            self._mistakes.append(self._no_block(parsed.root))

    def take_overrides(self, flags: Mapping[str, str]) -> None:
        for path, text, name in overrides_in(self._source.environ):
            self._override(path, text, name)
        for path, older, name in set_twice(self._source.environ):
            text = f"is the older name of {name}, which is set too. Keep one."
            self._mistakes.append(Diagnostic(text, None, written(path), older))
        for dotted, text in flags.items():
            path = tuple(dotted.split("."))
            self._override(path, text, f"--{path[-1].replace('_', '-')}")

    def take_keys(self) -> None:
        environ = self._source.environ
        end_users = self._data.get("end_users")
        if isinstance(end_users, dict):
            self._key_from_file(("end_users",), end_users, "jwt_secret")
        if not self._data.get("providers") and ("providers",) not in self._lost and environ.get("OPENROUTER_API_KEY"):
            self._data["providers"] = {"openrouter": {}}
        providers = self._data.get("providers")
        if not isinstance(providers, dict):
            return
        for name in providers:
            if providers[name] is None:
                providers[name] = {}
            if isinstance(providers[name], dict):
                self._key_from_environment(name, providers[name])
                for key in _KEYS:
                    self._key_from_file(("providers", name), providers[name], key)
                self._several_keys_from_files(name, providers[name])
                self._ca_file(name, providers[name])
                self._proxy_from_environment(name, providers[name])

    def settle(self) -> Settings:
        """Return the settings, or raise ConfigError with every mistake."""
        self._resolve_database()
        self._resolve_path("secrets", "master_key_file")
        self._resolve_path("currency", "ecb_file")
        settings = None
        try:
            settings = Settings.read(self._data)
        except BlockError as error:
            for finding in findings(error.faults):
                self._report(finding)
        for path, text in mistakes_across(self._data):
            if not self._is_lost(path):
                self._mistakes.append(self._mistake(locate(self._root, path), text))
        if not self._data.get("providers") and not self._mistakes:
            self._mistakes.append(Diagnostic(self._no_provider()))
        if self._mistakes or settings is None:
            raise self._error()
        for path, text in warnings_across(self._data):
            self._warn(locate(self._root, path), text)
        self._warnings += likely_slips(self._source.environ, self._variables)
        return settings

    def warn_about_modes(self, mode: int) -> None:
        if os.name != "posix" or self._source.path is None:
            return
        if mode & stat.S_IWGRP:
            self._warnings.append(f"{self._source.shown}: its group can write to it. Run: chmod g-w")
        if mode & (stat.S_IRGRP | stat.S_IROTH):
            for path in self._literal_keys():
                self._warn(
                    locate(self._root, path),
                    "a key is in a file that others can read. Write ${VAR}, or: chmod 600.",
                )

    def loaded(self, settings: Settings, raw: bytes) -> LoadedConfig:
        digest = hashlib.sha256(raw)
        for path in sorted(self._key_files):
            digest.update(b"\0" + str(path).encode() + b"\0" + self._key_files[path])
        main = (self._source.path,) if self._source.path is not None else ()
        return LoadedConfig(
            settings,
            self._source.path,
            tuple(mask(text, self._secrets) for text in self._warnings),
            digest.hexdigest()[:16],
            (*main, *sorted(self._key_files)),
            MappingProxyType({**self._origins, **self._given}),
            redacted(self._source.text, self._secrets),
        )

    def _no_block(self, root: yaml_tree.Node) -> Diagnostic:
        found = missing_space(root.text) if isinstance(root, yaml_tree.ScalarNode) and root.plain else None
        if found is None:
            return Diagnostic('the file must hold settings ("name: value").', root.mark)
        name, column = found
        return Diagnostic(f'a space is missing after "{name}:".', Mark(root.mark.line, root.mark.column + column))

    # --- from nodes to values

    def _value(self, node: yaml_tree.Node, path: SettingPath) -> Any:
        if isinstance(node, yaml_tree.MappingNode):
            return {name: self._value(entry.node, (*path, name)) for name, entry in self._entries(node, path)}
        if isinstance(node, yaml_tree.SequenceNode):
            return [self._value(item, (*path, number)) for number, item in enumerate(node.items)]
        self._origins[path] = f"{self._source.shown}:{node.mark.line + 1}"
        text = self._with_variables(node, path)
        if not node.plain:
            return text
        return None if text in NULLS else PlainText(text)

    def _entries(self, node: yaml_tree.MappingNode, path: SettingPath) -> Iterator[tuple[str, yaml_tree.Entry]]:
        """Yield the entries of a block under their present names."""
        renamed = present_names(path)
        for name, entry in node.entries.items():
            present = renamed.get(name, name)
            if present == name:
                yield name, entry
                continue
            place = locate(self._root, (*path, name))
            if present in node.entries:
                text = f"is the older name of {present}, which is set too. Keep one."
                self._mistakes.append(self._mistake(place, text, at_key=True))
                continue
            self._warn(place, f"is now called {present}. The older name still works.")
            yield present, entry

    def _with_variables(self, node: yaml_tree.ScalarNode, path: SettingPath) -> str:
        names = names_in(node.text)
        if names:
            self._variables.update(names)
            self._from_variables.add(path)
        try:
            text = substitute(node.text, self._source.environ)
        except SettingError as error:
            self._lost.add(path)
            self._mistakes.append(
                self._mistake(locate(self._root, path), _sentences(error.must, self._advice(path, error.advice)))
            )
            return ""
        if names and any(is_sensitive(step) for step in path):
            self._secrets.add(text)
        return text

    def _advice(self, path: SettingPath, advice: str) -> str:
        """Return advice for a variable that is not set."""
        if path[-1:] != ("api_key",):
            return advice or "Set it, or write ${NAME:-value} for a value without it."
        provider = self._source_block(path[:-1])
        hosted = provider is not None and path[-2] == "openrouter" and "base_url" not in provider.entries
        made = " Create a key at https://openrouter.ai/keys" if hosted else ""
        return f"{advice or 'Set it,'}{' Set it,' if advice else ''} or use api_key_file:.{made}"

    def _source_block(self, path: SettingPath) -> yaml_tree.MappingNode | None:
        node = locate(self._root, path).node
        return node if isinstance(node, yaml_tree.MappingNode) else None

    # --- flags, variables, key files

    def _override(self, path: tuple[str, ...], text: str, name: str) -> None:
        block = self._data
        for step in path[:-1]:
            inner = block.setdefault(step, {})
            if inner is None:
                inner = block[step] = {}
            if not isinstance(inner, dict):
                return  # the file has no block there, which is reported as it is
            block = inner
        value: Any = [PlainText(part.strip()) for part in text.split(",")] if is_list(path) else PlainText(text)
        if path == ("database",):
            value = PlainText(_expanded(text).absolute()) if "://" not in text else PlainText(text)
        block[path[-1]] = value
        self._given[path] = name
        self._lost.discard(path)
        if is_sensitive(path[-1]):
            self._secrets.add(text)

    def _key_from_environment(self, name: str, block: dict[str, Any]) -> None:
        """Use OPENROUTER_API_KEY where the file names no key, but never send it to another address."""
        kind = block.get("kind") or ("openrouter" if name == "openrouter" else "openai")
        url = block.get("base_url") or default_base_url(name, kind)
        if name != "openrouter" or str(url).rstrip("/") != BASE_URLS["openrouter"]:
            return
        for key, variable in _KEYS.items():
            if key == "api_key" and block.get("keys") is not None:
                continue
            path: SettingPath = ("providers", name, key)
            if block.get(key) is None and block.get(f"{key}_file") is None and path not in self._lost:
                text = self._source.environ.get(variable)
                if text:
                    block[key] = text
                    self._given[path] = variable
                    self._secrets.add(text)

    def _ca_file(self, name: str, block: dict[str, Any]) -> None:
        """Resolve the path from the file's folder, and have a change of what it holds noticed."""
        text = block.get("ca_file")
        if not isinstance(text, str) or not text or "\0" in text:
            return
        file = self._source.folder / _expanded(text)
        block["ca_file"] = file
        try:
            raw = file.read_bytes()
            self._key_files[file] = hashlib.sha256(raw).digest()
            problem = None if holds_certificates(raw) else "holds no certificate in PEM form"
        except OSError as error:
            problem = f"cannot be read: {error.strerror}"
        if problem is not None:
            found = locate(self._root, ("providers", name, "ca_file"))
            self._mistakes.append(self._mistake(found, f"{file} {problem}."))

    def _proxy_from_environment(self, name: str, block: dict[str, Any]) -> None:
        """Use the environment's proxy for the provider's address where the file names none."""
        path: SettingPath = ("providers", name, "proxy")
        url = block.get("base_url") or default_base_url(name, block.get("kind") or _kind_by_name(name))
        if block.get("proxy") is not None or path in self._lost or not isinstance(url, str):
            return
        found = environment_proxy(url, self._source.environ)
        if found is None:
            return
        try:
            block["proxy"] = read_proxy_url(found.url)
        except SettingError as error:
            why = _sentences(error.must, error.advice)
            self._warnings.append(f"{found.variable} {why} Provider {name} is reached directly.")
            return
        self._given[path] = found.variable
        self._secrets.add(block["proxy"])

    def _several_keys_from_files(self, name: str, block: dict[str, Any]) -> None:
        keys = block.get("keys")
        for number, one in enumerate(keys if isinstance(keys, list) else []):
            if isinstance(one, dict):
                self._key_from_file(("providers", name, "keys", number), one, "api_key")

    def _key_from_file(self, at: SettingPath, block: dict[str, Any], key: str) -> None:
        path: SettingPath = (*at, f"{key}_file")
        text = block.get(f"{key}_file")
        if not isinstance(text, str) or not text or "\0" in text:
            return
        if block.get(key) is not None:
            found = locate(self._root, path)
            self._mistakes.append(self._mistake(found, f"is set together with {key}. Keep one of them."))
            return
        file = self._source.folder / _expanded(text)
        block[f"{key}_file"] = file
        self._key_files[file] = b""
        try:
            raw = self._read_key(file)
            block[key] = _key_text(raw)
            self._key_files[file] = hashlib.sha256(raw).digest()
            self._secrets.add(block[key].reveal())
        except SettingError as error:
            self._lost.add((*path[:-1], key))
            self._mistakes.append(self._mistake(locate(self._root, path), _sentences(error.must, error.advice)))

    def _read_key(self, file: Path) -> bytes:
        try:
            with file.open("rb") as opened:
                mode = os.fstat(opened.fileno()).st_mode
                raw = opened.read(_MAX_KEY_BYTES + 1)
        except OSError as error:
            raise SettingError(f"{file} cannot be read: {error.strerror}", "It must hold the key.") from error
        if os.name == "posix" and mode & 0o027 and not self._is_mounted(file):
            raise SettingError(f"{file} is open to others (mode {mode & 0o777:04o})", f"Run: chmod 600 {file}")
        return raw

    def _is_mounted(self, file: Path) -> bool:
        credentials = self._source.environ.get("CREDENTIALS_DIRECTORY")
        folders = (*_MOUNTS, Path(credentials)) if credentials else _MOUNTS
        return any(file.absolute().is_relative_to(folder) for folder in folders)

    def _resolve_database(self) -> None:
        value = self._data.get("database")
        state = self._source.environ.get("STATE_DIRECTORY")
        if value is None:
            folder = data_dir(self._source.environ) if state else self._source.folder
            self._data["database"] = folder / "tollkeeper.db"
        elif isinstance(value, str) and value not in ("", ":memory:") and "://" not in value:
            self._data["database"] = self._source.folder / _expanded(value)

    def _resolve_path(self, section: str, name: str) -> None:
        block = self._data.get(section)
        text = block.get(name) if isinstance(block, dict) else None
        if isinstance(block, dict) and isinstance(text, str) and text and "\0" not in text:
            block[name] = self._source.folder / _expanded(text)

    def _literal_keys(self) -> Iterable[SettingPath]:
        yield from self._literals(("admin_token",))
        yield from self._literals(("end_users", "jwt_secret"))
        alerts = self._data.get("alerts")
        destinations = alerts.get("destinations") if isinstance(alerts, dict) else None
        for name in destinations if isinstance(destinations, dict) else ():
            for key in ("url", "secret", "password"):
                yield from self._literals(("alerts", "destinations", name, key))
        providers = self._data.get("providers")
        for name, provider in (providers if isinstance(providers, dict) else {}).items():
            for key in ("api_key", "management_key"):
                yield from self._literals(("providers", name, key))
            keys = provider.get("keys") if isinstance(provider, dict) else None
            for number in range(len(keys) if isinstance(keys, list) else 0):
                yield from self._literals(("providers", name, "keys", number, "api_key"))

    def _literals(self, path: SettingPath) -> Iterable[SettingPath]:
        node = locate(self._root, path).node
        if path not in self._given and isinstance(node, yaml_tree.ScalarNode) and node.text and not names_in(node.text):
            yield path

    # --- from findings to texts

    def _report(self, finding: Finding) -> None:
        place = locate(self._root, finding.path)
        if self._is_lost(place.path):
            return
        text = finding.must
        if finding.show and not finding.at_key:
            text += self._found(place, finding.path)
        advice = finding.advice or self._missing_space(finding, place)
        self._mistakes.append(self._mistake(place, _sentences(text, advice), at_key=finding.at_key, path=finding.path))

    def _missing_space(self, finding: Finding, place: SettingPlace) -> str:
        """Return why a block was read as text: ``server:`` with ``port:8787`` below it."""
        if finding.must != NO_BLOCK or not isinstance(place.node, yaml_tree.ScalarNode):
            return ""
        found = missing_space(place.node.text)
        return f'A space is missing after "{found[0]}:".' if found is not None else ""

    def _is_lost(self, path: SettingPath) -> bool:
        return any(path[: len(lost)] == lost for lost in self._lost)

    def _found(self, place: SettingPlace, path: SettingPath) -> str:
        if any(is_sensitive(step) for step in path):
            return ""
        if self._given_by(path) is not None:
            return ""
        if not isinstance(place.node, yaml_tree.ScalarNode):
            return ""
        text = place.node.text
        if place.path in self._from_variables:
            return f"; found the value of {text[:60]}"
        if place.node.plain and (text in NULLS or NUMBER.fullmatch(text)):
            return f"; found {text or 'nothing'}"
        shown = "".join(char if char.isprintable() else "?" for char in text[:60])
        return f'; found "{shown}{"..." if len(text) > 60 else ""}"'

    def _given_by(self, path: SettingPath) -> str | None:
        return next((name for at, name in self._given.items() if path[: len(at)] == at), None)

    def _mistake(
        self, place: SettingPlace, text: str, *, at_key: bool = False, path: SettingPath | None = None
    ) -> Diagnostic:
        given = self._given_by(path if path is not None else place.path)
        if given is not None:
            return Diagnostic(text, None, written(path or place.path), given)
        return Diagnostic(text, place.key_mark if at_key else place.mark, written(place.path))

    def _warn(self, place: SettingPlace, text: str) -> None:
        where = f":{place.mark.line + 1}:{place.mark.column + 1}" if place.node is not None else ""
        self._warnings.append(f"{self._source.shown}{where}  {written(place.path)}: {text}")

    def _no_provider(self) -> str:
        if self._source.path is None:
            return (
                "there is no configuration file and OPENROUTER_API_KEY is not set. "
                "Set it, or make a file with: tollkeeper init"
            )
        return (
            "providers: none is configured. Set OPENROUTER_API_KEY, or write providers: {openrouter: "
            '{api_key: "${OPENROUTER_API_KEY}"}}.'
        )

    def _error(self) -> ConfigError:
        lines = split_lines(self._source.text)
        order = sorted(self._mistakes, key=lambda one: (one.mark.line, one.mark.column) if one.mark else (-1, 0))
        paragraphs = [_paragraph(self._source.shown, lines, one, self._secrets) for one in order[:_MAX_SHOWN]]
        if len(order) > _MAX_SHOWN:
            paragraphs.append(f"and {len(order) - _MAX_SHOWN} more mistakes.")
        text = "\n".join(dict.fromkeys(paragraphs))
        masked = [replace(one, text=mask(one.text, self._secrets), path=mask(one.path, self._secrets)) for one in order]
        # bytes of the environment may be no UTF-8
        return MistakesError(text.encode(errors="replace").decode(), masked)


def _key_text(raw: bytes) -> Secret:
    if len(raw) > _MAX_KEY_BYTES:
        raise SettingError("the file is too large to hold a key", "It must hold the key alone.")
    try:
        text = raw.decode("ascii").strip()
    except UnicodeDecodeError:
        raise SettingError("the file holds no key", "It must hold the key alone, as plain text.") from None
    if not text or not text.isprintable() or " " in text:
        raise SettingError("the file holds no key", "It must hold the key alone, in one line.")
    return Secret(text)


def _expanded(text: str) -> Path:
    try:
        return Path(text).expanduser()
    except RuntimeError:  # ~ of an unknown user is a name like any other
        return Path(text)


def _sentences(must: str, advice: str) -> str:
    text = must if must.endswith((".", "?", "!")) else f"{must}."
    return f"{text} {advice}" if advice else text


def _paragraph(shown: str, lines: list[str], mistake: Diagnostic, secrets: Iterable[str]) -> str:
    """Write one mistake: place, setting, text, and the line with a caret."""
    text = mask(mistake.text, secrets)
    path = mask(mistake.path, secrets)  # a key may have been written in place of a name
    named = f"{path}: " if path else ""
    if mistake.origin:
        return f"{mistake.origin} ({path}): {text}"
    if mistake.mark is None:
        return f"{shown}  {named}{text}"
    head = f"{shown}:{mistake.mark.line + 1}:{mistake.mark.column + 1}  {named}{text}"
    excerpt = _excerpt(lines, mistake.mark, secrets)
    if mistake.above is not None:
        excerpt = f"{_numbered(lines, mistake.above, 0, secrets)}\n{excerpt}"
    return f"{head}\n{excerpt}" if excerpt else head


def _excerpt(lines: list[str], mark: Mark, secrets: Iterable[str]) -> str:
    if mark.line >= len(lines):
        return ""
    start = max(0, mark.column - _WIDTH // 2) if len(lines[mark.line]) > _WIDTH else 0
    return f"{_numbered(lines, mark.line, start, secrets)}\n       | {' ' * (mark.column - start)}^"


def _numbered(lines: list[str], number: int, start: int, secrets: Iterable[str]) -> str:
    masked = mask_line(lines[number], secrets)[start : start + _WIDTH]
    shown = "".join(char if char.isprintable() else " " for char in masked)
    return f"{number + 1:>6} | {shown}".rstrip()
