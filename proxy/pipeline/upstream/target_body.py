"""suit: put the body for one target into the form that it takes; what the client sent stays as it is. Pure."""

from collections.abc import Mapping
from typing import Any

from proxy.pipeline.values.route import Route
from proxy.policy.parameter_form import ParameterForm

_JSON: Mapping[str, Any] = {"type": "json_object"}


def in_form(body: dict[str, Any], route: Route, form: ParameterForm) -> dict[str, Any]:
    """Return the body as a target of that form takes it."""
    sent, endpoint = route.sent, route.endpoint
    found = dict(body)
    if form.json_only and found.get("response_format") is not None and sent.get("response_format") is None:
        found["response_format"] = dict(_JSON)
    if form.user_prompt:
        found = endpoint.with_prompt_of_user(found, sent)
    for name in form.without:
        if name in found and name not in endpoint.maximum:
            _take_back(found, sent, name)
    for name, there in form.names:
        is_bound, is_filled = name in endpoint.maximum, found.get(name) is not None
        is_ours = name not in sent or (sent[name] is None and (is_bound or is_filled))
        if name in found and is_ours and there not in found:
            found = {there if key == name else key: value for key, value in found.items()}
    return found


def fields_of_ours(body: Mapping[str, Any], route: Route) -> dict[str, Any]:
    """Return the fields of a body that the proxy wrote or changed; a bound that the client named is the client's."""
    sent = route.sent
    return {
        name: value
        for name, value in body.items()
        if name != "model"
        and not (name in sent and (sent[name] is value or sent[name] == value))
        and not (name in route.endpoint.maximum and sent.get(name) is not None)
    }


def _take_back(body: dict[str, Any], sent: Mapping[str, Any], name: str) -> None:
    if name in sent:
        body[name] = sent[name]  # only a part of it was ours
    else:
        del body[name]
