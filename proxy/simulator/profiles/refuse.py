"""What a profile refuses, and in which words; the first thing that is wrong counts. Pure."""

from typing import Any

from msgspec.structs import replace

from proxy.simulator.profiles.profile import Profile, ProfileFailure, ProfileModel

_MAXIMA = ("max_completion_tokens", "max_tokens")


def row_of(profile: Profile, name: str) -> ProfileModel | None:
    """Return the model that answers to a name; ids of the form sim/<behaviour> are answered by the first."""
    prefix = profile.listing.prefix
    for row in profile.models:
        if name in (row.id, prefix + row.id):
            return row
    return profile.models[0] if name.startswith("sim/") or "unknown_model" not in profile.failures else None


def key_failure(profile: Profile, key: str) -> ProfileFailure | None:
    """Return what is said to a key: without one, to one that begins with ``bad``, to one that begins with ``empty``."""
    if (profile.needs_key and not key) or key.startswith("bad"):
        return profile.failures["bad_key"]
    return profile.failures.get("no_credit") if key.startswith("empty") else None


def body_failure(
    profile: Profile, body: dict[str, Any], row: ProfileModel, prompt_tokens: int
) -> ProfileFailure | None:
    """Return what is said to the fields of a request, filled in; None: it is taken."""
    field = _strange_field(profile, body)
    if field is not None:
        refused = profile.refuses.get(field) or profile.strange
        assert refused is not None
        return filled(refused, row.id, field=field)
    maximum = _maximum(body)
    if profile.api == "messages" and maximum is None:
        return replace(filled(profile.failures["broken"], row.id), status=400, body=_REQUIRED)
    if maximum is not None and maximum > row.output and profile.over_output is not None:
        return filled(profile.over_output, row.id, value=maximum, limit=row.output)
    if maximum is not None and profile.fills is not None and prompt_tokens + maximum > row.context:
        total = prompt_tokens + maximum
        return filled(profile.fills, row.id, value=maximum, limit=row.context, input=prompt_tokens, total=total)
    if prompt_tokens > row.context:
        return filled(profile.failures["context_full"], row.id, value=prompt_tokens, limit=row.context)
    return None


_REQUIRED = {"type": "error", "error": {"type": "invalid_request_error", "message": "max_tokens: Field required"}}


def _strange_field(profile: Profile, body: dict[str, Any]) -> str | None:
    for name in body:
        if name in profile.refuses or (profile.known is not None and name not in profile.known):
            return name
    return None


def _maximum(body: dict[str, Any]) -> int | None:
    for name in _MAXIMA:
        value = body.get(name)
        if isinstance(value, int) and not isinstance(value, bool):
            return value
    return None


def filled(failure: ProfileFailure, model: str, **values: Any) -> ProfileFailure:
    """Return the failure with model, field, value, limit, input and total filled into its texts."""
    words = {"model": model, "field": "", "value": 200_000, "limit": 128_000, **values}
    return replace(failure, body=_filled(failure.body, {f"{{{name}}}": str(value) for name, value in words.items()}))


def _filled(node: Any, words: dict[str, str]) -> Any:
    if isinstance(node, str):
        for mark, word in words.items():
            node = node.replace(mark, word)
        return node
    if isinstance(node, list):
        return [_filled(item, words) for item in node]
    return {key: _filled(item, words) for key, item in node.items()} if isinstance(node, dict) else node
