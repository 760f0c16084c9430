"""Bugs of HTTP at the door."""

from typing import Final

from tests.mutations.mutation import Mutation, Patch

MUTATIONS: Final = (
    Mutation(
        "an-answer-that-a-page-cannot-read",
        "Pages that may call get no Access-Control header with a refusal, and see a network error in its place.",
        (Patch("FastDownstream.whole", "self.request_headers.cors is not None", "False"),),
        ("tests/web/test_cors.py::test_every_answer_can_be_read[lane-no token]",),
    ),
    Mutation(
        "half-an-answer-with-an-end",
        "A stream that the proxy itself fails in ends as a whole one does, with an error page as its last words.",
        (Patch("reply_to_error", "context.began", "False"),),
        ("tests/contracts/test_downstream.py::test_a_failure_of_ours_in_the_middle[memory]",),
    ),
    Mutation(
        "a-stream-that-nobody-waits-with",
        "What a slow client has not read yet is held in memory, all of it.",
        (Patch("StreamRelay._take", "return may_go_on and not self.meter.done", "return not self.meter.done"),),
        ("tests/contracts/test_downstream.py::test_a_client_that_reads_slowly[memory]",),
    ),
    Mutation(
        "chunks-that-nobody-waits-with",
        "What a slow client has not read yet is held in memory where it passes in the chunks that it came in.",
        (Patch("UpstreamConnection.data_received", "passage.room.choked", "False"),),
        ("tests/providers/test_whole_chunks.py::test_a_full_client_is_waited_for",),
    ),
    Mutation(
        "chunks-of-an-older-version",
        "A body in chunks over HTTP/1.0 is served, and the server before this one takes its end for a next request.",
        (Patch("check_framing", "request.version == HttpVersion10", "request.version is None"),),
        ("tests/web/test_bad_input.py::test_chunks_of_an_older_version",),
    ),
    Mutation(
        "a-slash-too-many",
        "A base URL with a slash at its end is answered with 404.",
        (Patch("web.routes:answer", "path = canonical_path(path)", "pass"),),
        ("tests/web/test_bad_input.py::test_other_names_of_the_path[general-/v1//chat/completions]",),
    ),
    Mutation(
        "figures-for-everybody",
        "Whoever reaches the port through another server reads the names of providers and keys.",
        (Patch("is_here", "any(name in headers for name in _FORWARDED)", "False"),),
        ("tests/web/test_exposure.py::test_modes[loopback-200-403]",),
    ),
)
