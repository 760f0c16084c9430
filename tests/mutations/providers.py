"""Bugs of connections to providers and of the keys that they use."""

from typing import Final

from tests.mutations.mutation import Mutation, Patch

_FOREIGN = "tests/contracts/test_foreign_provider.py::test_"

MUTATIONS: Final = (
    Mutation(
        "a-key-in-two-pieces",
        "A key that a provider quotes in an event of an error reaches the user where the event comes in two pieces.",
        (Patch("ErrorScreen._screened", "tells and len(begun) <= _HELD_MAX_BYTES", "False"),),
        ("tests/wire/test_redact.py::test_an_error_never_tells_the_key[False-an object-chat/completions]",),
    ),
    Mutation(
        "a-key-in-a-refusal",
        "The body of a refusal is passed on with the key that it quotes.",
        (Patch("hear_refusal", "redacted(raw, attempt.key.quoted_bytes)", "raw"),),
        ("tests/streams/test_keys.py::test_no_answer_tells_the_key",),
    ),
    Mutation(
        "half-a-size-forgotten",
        "A chunk whose size came in two reads is passed on with half of it, and the client reads a wrong length.",
        (Patch("UpstreamConnection.data_received", "answer.between_chunks = False", "pass"),),
        ("tests/providers/test_whole_chunks.py::test_half_a_size_is_not_forgotten",),
    ),
    Mutation(
        "a-head-that-is-owed",
        "A stream that was begun by its known head breaks at the first read that is no plain chunk.",
        (Patch("UpstreamConnection.data_received", "(self._owed + data, b'')", "(data, b'')"),),
        ("tests/providers/test_whole_chunks.py::test_a_stream_of_plain_chunks_needs_no_parser",),
    ),
    Mutation(
        "a-proxy-that-is-not-used",
        "The variables that name a proxy are ignored, and no provider is reached from behind one.",
        (Patch("_FileReading.take_keys", "self._proxy_from_environment(name, providers[name])"),),
        ("tests/config/test_outbound.py::test_the_setting_wins",),
    ),
    Mutation(
        "a-proxys-refusal-called-the-providers",
        "What a proxy answers for want of a password is handed on as though the provider had said it.",
        (Patch("PooledTransport.send", "answer.status == 407", "answer.status == 999"),),
        ("tests/providers/test_transport_proxy.py::test_a_wrong_password[asyncio-pool-http]",),
    ),
    Mutation(
        "one-way-to-send-a-key",
        "Every provider is sent a bearer: Anthropic and Azure refuse all keys.",
        (Patch("key_headers", 'auth == "bearer"', "auth"),),
        ("tests/providers/test_auth.py::test_every_key_goes_out_as_the_provider_wants_it[x-api-key]",),
    ),
    Mutation(
        "a-foreign-streams-own-usage-unread",
        "A translated stream is booked by what the client's form holds of its usage: the cost that it told is lost.",
        (Patch("StreamRelay._hear", "translator is not None and translator.usage is not None", "False"),),
        (f"{_FOREIGN}a_stream[toy/voice-False]",),
    ),
    Mutation(
        "a-foreign-answers-own-usage-unread",
        "A translated answer in one piece is booked by what the client's form holds of its usage.",
        (
            Patch(
                "WholeRelay.complete",
                "translator is not None and translator.usage is not None and told is not None",
                "False",
            ),
        ),
        (f"{_FOREIGN}an_answer_in_one_piece[toy/voice]",),
    ),
    Mutation(
        "a-foreign-stream-cut-short-taken-for-whole",
        "What a translator kept back at the end of a stream is dropped without a word.",
        (Patch("TranslatedResponse._finished", "self._translator.finish()", 'b""'),),
        ("tests/contracts/test_dialect.py::test_what_is_kept_back_at_the_end_is_not_lost[toy]",),
    ),
    Mutation(
        "a-request-that-cannot-be-said-counts-as-sent",
        "What a provider's form cannot say is blamed on the way to it, until its breaker opens for everybody.",
        (
            Patch(
                "_KEPT_BACK",
                '{"resting", "queue_full", "queue_timeout", NOT_OFFERED, HALTED}',
                '{"resting", "queue_full", "queue_timeout", HALTED}',
            ),
        ),
        (f"{_FOREIGN}what_its_form_cannot_say_is_not_sent[an endpoint that it has not]",),
    ),
)
