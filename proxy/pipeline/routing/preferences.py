"""Join the preferences of a user, of those above them and of the installation; lay them under a request. Pure."""

from collections.abc import Container, Mapping, Sequence
from typing import Any

from msgspec.structs import replace

from proxy.config.preferences import PreferenceSettings
from proxy.core.errors import CallerError
from proxy.pipeline.values.preferences import Preferences
from proxy.pipeline.values.route import Route, with_room_to_think
from proxy.wire.body import BodyError


def join_preferences(
    levels: Sequence[PreferenceSettings], use_cases: Mapping[str, str], presets: Container[str]
) -> Preferences | None:
    """Return what the levels say, the nearest first; None where they say nothing. use_cases: of the top level.

    What names a preset that is gone counts as not set: the database may outlive it.
    """
    names = (level.default_preset if level.default_preset in presets else level.default_model for level in levels)
    fallbacks = (level.fallback for level in levels if level.fallback is not None)
    cheapest = (level.cheapest for level in levels if level.cheapest is not None)
    farthest_first = [*reversed(levels)]
    named = (pair for level in farthest_first for pair in level.use_cases.items())
    own_use_cases = {name: preset for name, preset in named if preset in presets}
    found = Preferences(
        next((name for name in names if name is not None), None),
        {name: value for level in farthest_first for name, value in level.parameters.items()},
        next(fallbacks, True),
        next(cheapest, False),
        {**use_cases, **own_use_cases} if own_use_cases else use_cases,
    )
    says_nothing = found.model is None and not found.parameters and found.fallback and not found.cheapest
    return None if says_nothing and not own_use_cases else found


def default_model(preferences: Preferences | None, use_cases: Mapping[str, str], use_case: str | None) -> str | None:
    """Return the model of a body that names none: the preset of its use case, else the user's default; None: none.

    use_cases: of the configuration, for a user without preferences.
    """
    known = use_cases if preferences is None else preferences.use_cases
    preset = None if use_case is None else known.get(use_case)
    return preset if preset is not None or preferences is None else preferences.model


def with_preferences(route: Route, preferences: Preferences, *, lists_models: bool) -> Route:
    """Return a planned route as the user prefers it; lists_models: the client itself named models to fall back on.

    Raises CallerError 400 for parameters that the proxy cannot read.
    """
    select = "cheapest" if preferences.cheapest else route.select
    body, sent, endpoint = route.body, route.sent, route.endpoint
    if preferences.parameters:
        kept = {name: None for name, value in body.items() if value is None and name not in sent}  # a preset's word
        body = {**endpoint.with_defaults(preferences.parameters, body), **kept}
        added = {name: value for name, value in body.items() if value is not None and route.body.get(name) is None}
        _check({**sent, **added}, route)
        body = with_room_to_think(body, sent, endpoint) if added else route.body
    only_first = not preferences.fallback and not lists_models
    if body is route.body and select == route.select and not only_first:
        return route
    return replace(route, body=body, asked=sent, select=select, only_first=only_first)


def _check(body: dict[str, Any], route: Route) -> None:
    try:
        route.endpoint.check(body)
    except BodyError as error:
        code, param, text = error.code, error.param, str(error)
    else:
        return
    text = f"One of your default parameters cannot be used: {text} Ask for /v1/me/preferences, or the operator."
    raise CallerError(400, code, text, param=param)
