"""Lists of models in the shapes of many servers, and what is wrong with some."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.policy.model_list import Lengths, ModelListError, flaws_text, read_lengths, read_model_list

A, B = {"id": "a", "object": "model"}, {"id": "b", "object": "model"}
SHAPES: dict[str, Any] = {
    "OpenAI": {"object": "list", "data": [A, B]},
    "bare array": [A, B],
    "Ollama": {"models": [{"name": "a", "model": "a", "details": {}}, {"name": "b", "model": "b"}]},
    "Gemini": {"models": [{"name": "a", "inputTokenLimit": 5}, {"name": "b"}]},
    "both": {"data": [A, B], "models": [A]},
    "by id": {"data": {"a": {"object": "model"}, "b": {}}},
    "texts": {"data": ["a", "b"]},
    "texts alone": ["a", "b"],
    "within data": {"data": {"data": [A, B]}},
    "within result": {"success": True, "result": {"models": [A, B]}},
    "model alone": {"data": [{"model": "a"}, {"model": "b"}]},
    "more beside": {"data": [A, B], "has_more": False, "first_id": "a", "error": None},
}


@pytest.mark.parametrize("payload", SHAPES.values(), ids=SHAPES)
def test_shapes(payload: Any) -> None:
    found = read_model_list(payload)
    assert [entry["id"] for entry in found.entries] == ["a", "b"]
    assert found.flaws == ()


EMPTY = [[], {"data": []}, {"models": []}, {"object": "list", "data": None}, {"data": {}}]
WRONG: list[Any] = [
    None,
    5,
    "x",
    True,
    {},
    {"error": {"message": "busy"}},
    {"data": "x"},
    {"data": {"a": 1}},
    {"a": [1]},
]


@pytest.mark.parametrize("payload", EMPTY, ids=str)
def test_empty_ones(payload: Any) -> None:
    assert read_model_list(payload) == ((), ())


@pytest.mark.parametrize("payload", [*WRONG, [None], [{}], {"data": [{"id": 5}]}], ids=str)
def test_no_list_at_all(payload: Any) -> None:
    with pytest.raises(ModelListError):
        read_model_list(payload)


@pytest.mark.parametrize(
    "flaw", [None, 5, [], {}, {"id": None}, {"id": ""}, {"id": 7}, {"id": "a\nb"}, {"id": "x" * 600}], ids=str
)
def test_a_flaw_costs_one_entry(flaw: Any) -> None:
    found = read_model_list({"data": [A, flaw, B]})
    assert [entry["id"] for entry in found.entries] == ["a", "b"]
    assert found.flaws == ("entry 1 has no id",)


def test_twins_are_told() -> None:
    found = read_model_list([A, B, A])
    assert [entry["id"] for entry in found.entries] == ["a", "b", "a"]
    assert found.flaws == ("a is there twice",)


def test_many_flaws_are_told_in_few_words() -> None:
    flaws = read_model_list([A, *[None] * 1000]).flaws
    assert flaws_text(flaws).endswith("entry 5 has no id and 995 more")


_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=4) | st.dictionaries(st.sampled_from(["id", "data", "models", "name"]), inner)
    ),
    max_leaves=12,
)


@given(_JSON)
def test_any_answer_is_read_or_refused(payload: Any) -> None:
    try:
        found = read_model_list(payload)
    except ModelListError:
        return
    assert all(isinstance(entry["id"], str) and entry["id"] for entry in found.entries)


LENGTHS: list[tuple[dict[str, Any], Lengths]] = [
    ({}, Lengths(None, None)),
    ({"context_length": 8192}, Lengths(8192, None)),  # OpenRouter, Together
    ({"context_length": 8192, "top_provider": {"max_completion_tokens": 512}}, Lengths(8192, 512)),
    ({"max_model_len": 32768}, Lengths(32768, None)),  # vLLM, SGLang
    ({"context_window": 131072, "max_completion_tokens": 8192}, Lengths(131072, 8192)),  # Groq
    ({"max_context_length": 131072}, Lengths(131072, None)),  # Mistral
    ({"max_context_length": 131072, "loaded_context_length": 4096}, Lengths(4096, None)),  # LM Studio
    ({"meta": {"n_ctx_train": 131072, "n_params": 5}}, Lengths(131072, None)),  # llama.cpp
    ({"meta": {"n_ctx_train": 131072, "n_ctx": 8192}}, Lengths(8192, None)),
    ({"inputTokenLimit": 1000, "outputTokenLimit": 64}, Lengths(1064, 64)),  # Gemini
    ({"max_input_tokens": 1000, "max_output_tokens": 64}, Lengths(1064, 64)),  # LiteLLM
    ({"context_length": 0, "max_model_len": -1, "meta": 5, "top_provider": None}, Lengths(None, None)),
    ({"context_length": "8192", "context_window": 1.5, "max_model_len": True}, Lengths(None, None)),
]


@pytest.mark.parametrize(("entry", "lengths"), LENGTHS, ids=str)
def test_lengths(entry: dict[str, Any], lengths: Lengths) -> None:
    assert read_lengths(entry) == lengths
