"""How targets take what the proxy writes: what is known of them, under the operator's own word."""

import pytest

from proxy.policy.parameter_form import PLAIN, ParameterForm, form_of, has_known, known_form


@pytest.mark.parametrize(
    ("host", "model", "without", "bound"),
    [
        ("api.openai.com", "gpt-4o", "", "max_completion_tokens"),
        ("api.openai.com", "o4-mini", "temperature top_p", "max_completion_tokens"),
        ("api.openai.com", "gpt-5-mini", "temperature top_p", "max_completion_tokens"),
        ("api.openai.com", "gpt-5.1", "", "max_completion_tokens"),
        ("api.openai.com", "gpt-5-chat-latest", "", "max_completion_tokens"),
        ("mine.openai.azure.com", "o3", "temperature", "max_completion_tokens"),
        ("mine.openai.azure.com", "gpt-35-turbo", "", "max_tokens"),
        ("api.mistral.ai", "mistral-large", "stream_options", "max_tokens"),
        ("api.groq.com", "llama", "logprobs", "max_tokens"),
        ("api.x.ai", "grok-4", "stop reasoning_effort", "max_tokens"),
        ("api.x.ai", "grok-4-fast-non-reasoning", "", "max_tokens"),
        ("api.x.ai", "grok-3", "", "max_tokens"),
        ("openai.com.evil.example", "o3", "", "max_tokens"),
        ("127.0.0.1", "o4-mini", "", "max_tokens"),
    ],
)
def test_what_is_known(host: str, model: str, without: str, bound: str) -> None:
    form = known_form(host, model, "chat") or PLAIN
    assert set(without.split()) <= form.without
    assert bool(without) is bool(form.without)
    assert form.named("max_tokens") == bound
    assert known_form(host, model, "responses") is None


def test_the_operators_word_goes_over_all() -> None:
    known = ParameterForm(without=frozenset(("seed", "stop")), names=(("max_tokens", "max_completion_tokens"),))
    word = form_of({"seed": True, "temperature": False, "max_tokens": "max_new_tokens"})
    both = word.over(known)
    assert both.without == {"stop", "temperature"}
    assert both.named("max_tokens") == "max_new_tokens"
    assert form_of({"max_tokens": True}).over(known).named("max_tokens") == "max_tokens"


def test_hosts_of_which_something_is_known() -> None:
    assert has_known("api.openai.com")
    assert has_known("mine.openai.azure.com")
    assert not has_known("openai.com.evil.example")


def test_the_tighter_bound_of_two_forms_holds() -> None:
    both = ParameterForm(most=500, context=9_000).over(ParameterForm(most=300, json_only=True))
    assert (both.most, both.context, both.json_only, both.user_prompt) == (300, 9_000, True, False)
    assert PLAIN.over(both) == both.over(PLAIN) == both
