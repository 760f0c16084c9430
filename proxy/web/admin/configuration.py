"""/admin/v1/configuration: the settings in force with where each comes from, checks of a text, and what was before."""

import difflib
import os
from collections.abc import Mapping, Sequence
from typing import Any, Literal

from pydantic import BaseModel, Field

from proxy.config.changes import changes
from proxy.config.diagnostic import Diagnostic, MistakesError
from proxy.config.load import LoadedConfig, load_text
from proxy.config.overlay import DATABASE, Overlay
from proxy.config.redact import mask
from proxy.config.show import in_force
from proxy.core.errors import CallerError, ConfigError
from proxy.web.admin.moment import MomentText, moment_text
from proxy.web.admin.route import AdminAnswer, AdminBody, AdminQuery, AdminRequest, AdminRoute

_TEXT_MAX_CHARS = 1 << 20
SourceKind = Literal["file", "environment", "flag", "default", "database"]


class SettingEntry(BaseModel):
    """One setting in force. place: the line of the file, the variable or the flag; null for the others."""

    setting: str = Field(description="Its path, such as users.bo.limits.cost[0].")
    value: Any
    source: SourceKind
    place: str | None


class ConfigurationEntry(BaseModel):
    """The configuration in force. Secrets are ***. problem: why the file as it is now is not in force."""

    file: str | None
    fingerprint: str
    problem: str | None
    warnings: list[str]
    settings: list[SettingEntry]


class SettingFilter(AdminQuery):
    """Which settings."""

    below: str | None = Field(default=None, description="Only settings that begin with this, such as users.bo.")
    source: SourceKind | None = None
    users: bool = Field(default=True, description="With what users have of their own.")


class ConfigurationText(AdminBody):
    """A configuration to check; nothing of it comes into force."""

    yaml: str = Field(max_length=_TEXT_MAX_CHARS)


class Mistake(BaseModel):
    """What is wrong with a text. line and column count from 1; null where it has no place in the text."""

    line: int | None
    column: int | None
    setting: str | None
    text: str


class CheckedConfiguration(BaseModel):
    """What is wrong with a text; or, where nothing is, what it would change of the one in force."""

    valid: bool
    mistakes: list[Mistake]
    warnings: list[str]
    changes: list[str]


class ReloadedConfiguration(BaseModel):
    """The configuration that is in force after a reload."""

    fingerprint: str
    changed: bool


class PastConfiguration(BaseModel):
    """A configuration that came into force. difference: of its text to that of the one before, secrets masked."""

    id: int
    at: MomentText
    actor: str
    source: str
    file: str | None
    fingerprint: str
    changes: list[str]
    difference: str


class PastConfigurationText(PastConfiguration):
    """One with its text."""

    text: str


async def _show(request: AdminRequest) -> AdminAnswer:
    query: SettingFilter = request.query
    deps = request.deps
    loaded, snapshot = deps.loaded(), deps.services.live.current
    overlay = snapshot.overlay or Overlay(loaded.settings, loaded.settings, frozenset())
    found = await request.read(lambda: [_setting(*each) for each in in_force(loaded, overlay, has_users=query.users)])
    settings = [
        each
        for each in found
        if (query.below is None or each["setting"].startswith(query.below)) and query.source in (None, each["source"])
    ]
    return AdminAnswer(
        {
            "file": None if loaded.path is None else str(loaded.path),
            "fingerprint": loaded.fingerprint,
            "problem": deps.config_problem(),
            "warnings": list(loaded.warnings),
            "settings": settings,
        }
    )


def _setting(path: str, value: Any, origin: str) -> dict[str, Any]:
    kind = _kind(origin)
    shown = mask(value, ()) if isinstance(value, str) else value
    return {"setting": path, "value": shown, "source": kind, "place": None if kind == origin else origin}


def _kind(origin: str) -> str:
    if origin in ("default", DATABASE):
        return origin
    if origin.startswith("--"):
        return "flag"
    return "file" if origin.rpartition(":")[2].isdigit() else "environment"


async def _check(request: AdminRequest) -> AdminAnswer:
    body: ConfigurationText = request.body
    return AdminAnswer(await request.read(_checked, body.yaml, request.deps.loaded()))


def _checked(text: str, loaded: LoadedConfig) -> dict[str, Any]:
    """Return what is wrong with a text in the place of the file, under the same variables and flags."""
    flags = {path: origin for path, origin in loaded.origins.items() if origin.startswith("--")}
    overrides = {".".join(map(str, path)): str(_value_at(loaded, path)) for path in flags}
    try:
        found = load_text(text.replace("\r\n", "\n").replace("\r", "\n"), loaded.path, os.environ, overrides)
    except MistakesError as error:
        mistakes = [_mistake(one) for one in error.diagnostics]
        return {"valid": False, "mistakes": mistakes, "warnings": [], "changes": []}
    except ConfigError as error:
        mistake = {"line": None, "column": None, "setting": None, "text": str(error)}
        return {"valid": False, "mistakes": [mistake], "warnings": [], "changes": []}
    told = list(changes(loaded.settings, found.settings))
    return {"valid": True, "mistakes": [], "warnings": list(found.warnings), "changes": told}


def _value_at(loaded: LoadedConfig, path: Sequence[str | int]) -> Any:
    value: Any = loaded.settings
    for step in path:
        value = getattr(value, str(step))
    return value


def _mistake(found: Diagnostic) -> dict[str, Any]:
    mark = found.mark
    return {
        "line": None if mark is None else mark.line + 1,
        "column": None if mark is None else mark.column + 1,
        "setting": found.path or None,
        "text": f"{found.origin}: {found.text}" if found.origin else found.text,
    }


async def _reload(request: AdminRequest) -> AdminAnswer:
    before = request.deps.loaded().fingerprint
    problem = await request.deps.reload(request.actor)
    if problem is not None:
        raise CallerError(422, "invalid_config", problem)
    fingerprint = request.deps.loaded().fingerprint
    return AdminAnswer({"fingerprint": fingerprint, "changed": fingerprint != before})


async def _history(request: AdminRequest) -> AdminAnswer:
    rows = await _past(request)
    shown = [{name: value for name, value in row.items() if name != "text"} for row in rows]
    return AdminAnswer(*request.page.of(shown, lambda row: (-row["id"],)))


async def _past(request: AdminRequest) -> list[dict[str, Any]]:
    """Return those that were in force, newest first, each compared with the one before it."""

    def read() -> list[dict[str, Any]]:
        rows = request.deps.services.reports.list_configurations()
        return [_with_difference(row, older) for row, older in zip(rows, [*rows[1:], None], strict=True)]

    return await request.read(read)


def _with_difference(row: Mapping[str, Any], older: Mapping[str, Any] | None) -> dict[str, Any]:
    before = [] if older is None else older["text"].splitlines(keepends=True)
    names = ("" if older is None else moment_text(older["at_ms"]) or "", moment_text(row["at_ms"]) or "")
    difference = "" if older is None else "".join(difflib.unified_diff(before, row["text"].splitlines(True), *names))
    shown = {name: row[name] for name in ("id", "actor", "source", "file", "fingerprint", "changes", "text")}
    return {**shown, "at": moment_text(row["at_ms"]), "difference": difference}


async def _show_past(request: AdminRequest) -> AdminAnswer:
    for row in await _past(request):
        if str(row["id"]) == request.path["id"]:
            return AdminAnswer(row)
    raise CallerError(404, "not_found", "There is no such configuration: the last 20 that were in force are kept.")


ROUTES = (
    AdminRoute(
        "GET",
        "/configuration",
        _show,
        "Show the settings in force, and where each comes from",
        ConfigurationEntry,
        query=SettingFilter,
    ),
    AdminRoute(
        "POST",
        "/configuration/validate",
        _check,
        "Check a configuration; nothing of it comes into force",
        CheckedConfiguration,
        body=ConfigurationText,
    ),
    AdminRoute("POST", "/configuration/reload", _reload, "Read the file now", ReloadedConfiguration),
    AdminRoute(
        "GET",
        "/configuration/history",
        _history,
        "List the last 20 that were in force, newest first",
        PastConfiguration,
        is_list=True,
    ),
    AdminRoute("GET", "/configuration/history/{id}", _show_past, "Show one of them", PastConfigurationText),
)
