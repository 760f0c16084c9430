"""How to repeat a request at a target that refused a field which only the proxy wrote. Pure.

Each field is changed at most once, but for a bound of the answer, which may be given another figure, take its other
name, and be left out, each once. A bound that a limit rests on is left out only where the model's own maximum can be
held for instead.
"""

from collections.abc import Mapping
from typing import Any

from proxy.pipeline.admission.output_bounds import may_leave_out
from proxy.pipeline.upstream.target_body import fields_of_ours
from proxy.pipeline.values.allowance import Allowance
from proxy.pipeline.values.amendment import Amendment, SentBody
from proxy.pipeline.values.route import Route
from proxy.policy.objection import PROMPTS, Objection, read_objection
from proxy.policy.parameter_form import PLAIN, ParameterForm
from proxy.policy.pricing import Price

_REFUSALS = frozenset((400, 404, 405, 415, 422, 500, 501))  # the statuses under which servers refuse a field
_VAGUE = frozenset((400, 422))
_NO_CREDIT = 402  # OpenRouter: the credits do not cover so long an answer
_OTHER_NAME = {"max_tokens": "max_completion_tokens", "max_completion_tokens": "max_tokens"}


def amendment_after(sent: SentBody, route: Route, allowance: Allowance, price: Price | None) -> Amendment | None:
    """Return how a refused request may go to the same target again; None: nothing of ours was refused."""
    code = sent.failure.code
    if code is not None and code not in _REFUSALS and not (code == _NO_CREDIT and b"afford" in sent.refusal):
        return None
    ours = fields_of_ours(sent.body, route)
    if not ours:
        return None
    objection = read_objection(sent.refusal, ours, route.sent)
    if objection is None:
        return None
    may_go = may_leave_out(route, allowance, price)
    if objection.least is not None and allowance.max_tokens is not None and allowance.max_tokens < objection.least:
        return Amendment(sent.form, is_possible=False, field=objection.fields[0])
    if objection.is_vague:
        is_one = code in _VAGUE and sent.failure.where == "status"
        found = None if sent.is_vague or not is_one else _without_all(sent, ours, route, may_go=may_go)
    else:
        found = _without(objection, sent, ours, route, may_go=may_go)
    return None if found is None else found._replace(lesson=found.lesson.over(sent.lesson))


def _without_all(sent: SentBody, ours: Mapping[str, Any], route: Route, *, may_go: bool) -> Amendment | None:
    """Leave out every removable field, once, after a refusal that names none; only a single field proves anything."""
    bounds = [name for name in route.endpoint.maximum if name in ours]
    fields = frozenset(ours) - frozenset(bounds) - frozenset(PROMPTS)
    drops = bool(bounds) and may_go
    if not fields and not drops:
        return None
    delta = ParameterForm(without=fields)
    lesson = delta if len(fields) == 1 and not drops else PLAIN
    return Amendment(delta.over(sent.form), lesson, drops, None, sent.tried, is_vague=True)


def _without(
    objection: Objection, sent: SentBody, ours: Mapping[str, Any], route: Route, *, may_go: bool
) -> Amendment | None:
    delta, bounds = PLAIN, []
    for name in objection.fields:
        if name in route.endpoint.maximum:
            bounds.append(name)
        elif name in PROMPTS and name == route.endpoint.system:
            delta = ParameterForm(user_prompt=True).over(delta)
        elif name == "response_format" and objection.says_schema and _is_schema(ours[name]):
            delta = ParameterForm(json_only=True).over(delta)
        else:
            delta = ParameterForm(without=frozenset((_own_name(name, sent.form),))).over(delta)
    change = Amendment(delta.over(sent.form), delta, tried=sent.tried, is_vague=sent.is_vague)
    if bounds:
        change = _with_bound(change, objection, bounds[0], route, may_go=may_go)
    is_new = change.form != sent.form or change.sets_bound
    return change if is_new or not change.is_possible else None


def _with_bound(change: Amendment, objection: Objection, name: str, route: Route, *, may_go: bool) -> Amendment:
    """Lower the bound, write it under its other name, or leave it out, whichever was not tried."""
    tried = change.tried | {name}
    value = objection.room or objection.most or objection.least
    if value is not None and "figure" not in change.tried:
        lesson = ParameterForm(most=objection.most, context=objection.context) if objection.is_lasting else PLAIN
        tried = change.tried | {"figure"}
        return change._replace(lesson=lesson.over(change.lesson), sets_bound=True, bound=value, tried=tried)
    other = _OTHER_NAME.get(name)
    if objection.context is None and other in route.endpoint.maximum and other not in tried:
        delta = ParameterForm(names=((name, other),)) if other is not None else PLAIN
        undone = (
            ParameterForm(takes=frozenset((other,)))
            if other is not None and change.form.named(other) == name
            else delta
        )
        return change._replace(form=undone.over(change.form), lesson=undone.over(change.lesson), tried=tried)
    if not may_go or "nothing" in change.tried:
        return change._replace(is_possible=False, field=name)
    lesson = PLAIN if objection.context is not None else ParameterForm(without=frozenset(route.endpoint.maximum))
    return change._replace(lesson=lesson.over(change.lesson), sets_bound=True, bound=None, tried=tried | {"nothing"})


def _own_name(name: str, form: ParameterForm) -> str:
    """Return the name that a field had before the form gave it another."""
    return next((own for own, there in form.names if there == name), name)


def _is_schema(value: Any) -> bool:
    return isinstance(value, dict) and value.get("type") == "json_schema"
