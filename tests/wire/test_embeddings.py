"""What an answer of vectors says of itself."""

import json

from proxy.wire.embeddings import read_embeddings


def test_an_answer() -> None:
    body = {
        "model": "e",
        "data": [{"embedding": [0.1]}],
        "usage": {"prompt_tokens": 5, "total_tokens": 5, "cost": 0.25},
    }
    found = read_embeddings(json.dumps(body).encode())
    assert found is not None
    assert (found.generation_id, found.model, found.finish_reason) == (None, "e", None)
    assert found.usage is not None
    assert (found.usage.input_tokens, found.usage.output_tokens, found.usage.cost_pusd) == (5, 0, 25 * 10**10)
    assert (found.error_seen, found.has_choices) == (False, True)


def test_an_error_under_200() -> None:
    found = read_embeddings(b'{"error": {"message": "No.", "code": "bad", "type": "x"}, "data": []}')
    assert found is not None
    assert (found.error_seen, found.error_code, found.error_type, found.has_choices) == (True, "bad", "x", False)


def test_what_is_no_answer() -> None:
    assert read_embeddings(b"[]") is None
    assert read_embeddings(b"<html>") is None
