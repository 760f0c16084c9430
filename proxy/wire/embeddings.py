"""/embeddings: an answer of vectors; only the prompt has tokens."""

from proxy.wire.error import error_of_message
from proxy.wire.parsed_answer import ParsedAnswer, error_code, error_type, read_message, text_of
from proxy.wire.usage import EMBEDDINGS, read_usage


def read_embeddings(body: bytes) -> ParsedAnswer | None:
    """Read the answer; None if it is no JSON object. OpenAI gives it no id."""
    message = read_message(body)
    if message is None:
        return None
    error = error_of_message(message)
    return ParsedAnswer(
        text_of(message, "id"),
        text_of(message, "model"),
        text_of(message, "provider"),
        None,
        read_usage(message, body, EMBEDDINGS),
        error is not None,
        error_code(error) if error else None,
        error_type(error) if error else None,
        bool(message.get("data")),
    )
