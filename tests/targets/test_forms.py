"""The form in which a target takes what the proxy writes: it never touches what the client sent, and is remembered."""

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from proxy.pipeline.upstream.parameter_forms import HOLDS_S, ParameterForms
from proxy.pipeline.upstream.target_body import fields_of_ours, in_form
from proxy.pipeline.values.route import Route, Target
from proxy.policy.parameter_form import PLAIN, ParameterForm
from proxy.providers.openai import OpenAIDialect
from proxy.providers.openrouter import OpenRouterDialect
from proxy.providers.static import static_row
from proxy.wire.endpoint import CHAT, COMPLETIONS, EMBEDDINGS, MESSAGES, RESPONSES

NAMES = (
    *("temperature", "top_p", "seed", "stop", "n", "response_format", "reasoning", "usage", "stream_options", "tools"),
    *("max_tokens", "max_completion_tokens", "max_output_tokens", "metadata", "user", "service_tier", "my_own"),
)
VALUES = st.none() | st.booleans() | st.integers(1, 10**6) | st.text(max_size=3) | st.just({"type": "json_schema"})
FIELDS = st.dictionaries(st.sampled_from(NAMES), VALUES, max_size=6)
OPTIONS = st.fixed_dictionaries({}, optional={"include_usage": st.booleans(), "x": st.integers()})
FORMS = st.builds(
    ParameterForm,
    without=st.frozensets(st.sampled_from(NAMES)),
    names=st.lists(
        st.sampled_from([("max_tokens", "max_completion_tokens"), ("seed", "random_seed"), ("stop", "user")]),
        max_size=2,
        unique=True,
    ).map(tuple),
    json_only=st.booleans(),
    user_prompt=st.booleans(),
)
MESSAGES_SENT = [{"role": "user", "content": "Hi"}]
DIALECTS = (OpenAIDialect(), OpenRouterDialect("", ""))


@given(
    sent=FIELDS,
    options=OPTIONS,
    defaults=FIELDS,
    form=FORMS,
    endpoint=st.sampled_from([CHAT, COMPLETIONS, RESPONSES, MESSAGES, EMBEDDINGS]),
    dialect=st.sampled_from(DIALECTS),
    stream=st.booleans(),
    bound=st.none() | st.integers(1, 1000),
)
def test_what_the_client_sent_arrives_unchanged(
    sent: dict[str, Any],
    options: dict[str, Any],
    defaults: dict[str, Any],
    form: ParameterForm,
    endpoint: Any,
    dialect: Any,
    stream: bool,
    bound: int | None,
) -> None:
    """Whatever is written beside it, and whatever a target does not take of that."""
    sent = {
        **{name: value for name, value in sent.items() if name not in endpoint.maximum or type(value) is int},
        "stream_options": options,
        "messages": MESSAGES_SENT,
        "stream": stream,
    }
    sent.pop("usage", None)
    body = endpoint.with_defaults(defaults, sent)
    route = Route((Target("p", "m"),), body, "m", None, asked=sent, endpoint=endpoint)
    if bound is not None:
        route = route.within(bound)
    prepared, _ = dialect.prepare(route.body_for(route.targets[0]), "m", endpoint)
    found = in_form(prepared, route, form)
    for name, value in sent.items():
        if value is None and endpoint.renamed(defaults).get(name) is not None:
            continue  # a null is nothing sent
        if name in endpoint.maximum and bound is not None:
            assert found[name] == min(value, bound)  # lowered, under the client's own name
        elif name == "stream_options":
            assert {**value, **found[name]} == found[name] or found[name] == {**value, "include_usage": True}
            if name in form.without:
                assert found[name] == value
        else:
            assert found[name] == value
    ours = fields_of_ours(found, route)
    assert not [name for name in ours if sent.get(name) is not None and name not in ("stream_options", "usage")]
    taken = {name for name in found if name in form.without and name not in endpoint.maximum}
    assert taken <= set(sent) | {there for _, there in form.names}


def test_what_was_learnt_holds_for_an_hour() -> None:
    forms = ParameterForms()
    row = static_row({"default": "x"}, lambda: 0)
    forms.learn(row, "m", "chat", ParameterForm(without=frozenset(("seed",))), 100.0)
    forms.learn(row, "m", "chat", ParameterForm(most=50), 200.0)
    assert forms.of(row, "m", "chat", 300.0) == ParameterForm(without=frozenset(("seed",)), most=50)
    assert forms.of(row, "other", "chat", 300.0) is None
    assert forms.of(row, "m", "responses", 300.0) is None
    assert forms.of(row, "m", "chat", 200.0 + HOLDS_S) is None
    assert forms.learnt == {}


def test_names_of_models_do_not_fill_memory() -> None:
    forms = ParameterForms()
    row, first = static_row({"default": "x"}, lambda: 0), forms.proved
    for n in range(1100):
        forms.learn(row, f"m{n}", "chat", PLAIN, 0.0)
        forms.prove(("", f"m{n}", "chat", None, False))
    assert len(forms.learnt) <= 1000
    assert len(forms.proved) <= 1000
    assert len(first) == 1000, "who has seen a proof in a set knows by the set that it still holds"
