"""A bug for each row of docs/trust/faults.md: with it the row's tests must fail. The row's id begins its name."""

from typing import Final

from tests.mutations.mutation import Mutation, Patch

_TESTS = "tests/faults/test_"


def _one(name: str, failure: str, patch: Patch, *tests: str) -> Mutation:
    return Mutation(name, failure, (patch,), tuple(_TESTS + test for test in tests))


CONTROLS: Final = (
    _one(
        "U1-not-sent-is-charged",
        "A connection that was refused counts as one that may have been billed.",
        Patch("no_connection", "TransportError(..., dispatched=False)", "TransportError(..., dispatched=True)"),
        "connect.py::test_u1_nobody_listens[openrouter-plain]",
        "connect.py::test_u2_no_address[unknown]",
    ),
    _one(
        "U2-a-slow-name-is-charged",
        "A name that takes too long counts as a request that was sent.",
        Patch("timed_out", "TransportError(..., dispatched=False)", "TransportError(..., dispatched=True)"),
        "connect.py::test_u2_no_address[slow]",
    ),
    _one(
        "U2-no-address-is-no-error",
        "A name without an address is an error that nobody expects.",
        Patch("_interleave", 'OSError("the name has no address")', "IndexError"),
        "connect.py::test_u2_no_address[empty]",
    ),
    _one(
        "U3-any-certificate",
        "Certificates are not checked.",
        Patch(
            "tls_context",
            "context.minimum_version = ssl.TLSVersion.TLSv1_2",
            "context.check_hostname = False\ncontext.verify_mode = ssl.CERT_NONE",
        ),
        "connect.py::test_u3_a_certificate_that_is_none[authority-plain]",
        "connect.py::test_u3_a_certificate_that_is_none[time-stream]",
        "connect.py::test_u3_a_certificate_that_is_none[host-plain]",
    ),
    _one(
        "U3-any-host",
        "A certificate of another host will do.",
        Patch("tls_context", "context.minimum_version = ssl.TLSVersion.TLSv1_2", "context.check_hostname = False"),
        "connect.py::test_u3_a_certificate_that_is_none[host-stream]",
    ),
    _one(
        "U4-no-answer-is-free",
        "A request that nothing came back for is released.",
        Patch("settle", "not attempt_result.dispatched", "attempt_result.status is None"),
        "silence.py::test_u4_no_answer_begins[openrouter-plain]",
        "silence.py::test_u4_half_a_head[stream]",
        "breaks.py::test_u6_before_the_head_is_complete[nothing-RST-plain-plain]",
    ),
    _one(
        "U4-asked-again",
        "A request that may have been billed is sent once more.",
        Patch(
            "PooledTransport.send",
            "while not answer.status:\n    await answer.change()",
            "try:\n"
            "    while not answer.status:\n"
            "        await answer.change()\n"
            "except TransportError:\n"
            "    return await self.send(method, url, headers, body, deadlines)",
        ),
        "silence.py::test_u4_no_answer_begins[openrouter-plain]",
        "breaks.py::test_u6_before_the_head_is_complete[nothing-RST-openrouter-stream]",
        "reuse.py::test_u28_closed_while_it_is_used_again[RST a little later]",
    ),
    _one(
        "U5-silence-is-an-end",
        "A stream that goes silent counts as one that is over.",
        Patch(
            "PooledResponse.check",
            'self.fail("idle_timeout", "the provider went silent in the middle of its answer")',
            "self.finish(), self._transport.abort(), self.wake()",
        ),
        "silence.py::test_u5_silence_in_a_stream[3]",
    ),
    _one(
        "U5-comments-are-no-life",
        "Only the length of the answer counts, so that comments do not keep it open.",
        Patch("PooledResponse.check", "self._last_s", "self.start_s"),
        "silence.py::test_u5_comments_are_life",
    ),
    _one(
        "U6-a-break-is-not-sent",
        "What broke before an answer began counts as never sent.",
        Patch(
            "PooledResponse.change",
            "TransportError(*self._failure, dispatched=True)",
            "TransportError(*self._failure, dispatched=self.status != 0)",
        ),
        "breaks.py::test_u6_before_the_head_is_complete[half a head-FIN-openrouter-plain]",
        "breaks.py::test_u6_before_the_head_is_complete[nothing-RST-openrouter-plain]",
    ),
    Mutation(
        "U6-half-a-request-is-charged",
        "What broke before the request was whole counts as sent.",
        (
            Patch("PooledTransport._send_end", "if answer.failed:\n    return False"),
            Patch("PooledTransport._send_end", "not answer.status and connection.is_closing", "False"),
        ),
        (
            f"{_TESTS}order.py::test_u6_before_the_request_was_whole[RST]",
            f"{_TESTS}order.py::test_u6_before_the_request_was_whole[FIN]",
        ),
    ),
    _one(
        "U7-half-a-JSON",
        "JSON that ends with its connection is passed on, however much of it came.",
        Patch("is_cut_off", "if text[-1:] != b'}':\n    return True", "if text[-1:] != b'}':\n    return False"),
        "breaks.py::test_u7_json_without_a_length_that_ends_early[0.5-openrouter]",
    ),
    Mutation(
        "U7-short-of-its-length",
        "An answer whose connection ends is whole, whatever its length said.",
        (
            Patch(
                "providers.transport.pool.connection:UpstreamConnection.connection_lost",
                "self._until_close",
                "answer.status",
            ),
            Patch("is_cut_off", 'text[:1] != b"{"', "text is not None"),
        ),
        (f"{_TESTS}breaks.py::test_u7_json_that_ends_early[length-openrouter]",),
    ),
    _one(
        "U7-id-in-the-JSON",
        "What came of an answer that breaks off is dropped, and with it the id by which its cost is looked up.",
        Patch("WholeRelay._note_id", "self.attempt_result.generation_id is None", "False"),
        "breaks.py::test_u7_the_id_in_the_json_is_enough[within-openrouter-plain]",
    ),
    _one(
        "U8-only-done-ends",
        "Without [DONE] the bill at the end of a stream is not believed.",
        Patch("StreamMeter._note_usage", "self.error_seen or is_end", "False"),
        "breaks.py::test_u8_no_done_but_the_bill_is_there[FIN]",
    ),
    _one(
        "U8-finished-is-broken",
        "A whole answer without [DONE] and without a bill is called broken, and its provider set aside.",
        Patch(
            "StreamRelay._failure",
            "meter.finished or (billed and (meter.usage_is_last or meter.finish_reason is not None))",
            "billed and (meter.usage_is_last or meter.finish_reason is not None)",
        ),
        "breaks.py::test_u8_finished_and_neither_bill_nor_done[last chunk-plain]",
    ),
    _one(
        "U9-broken-is-free",
        "A stream that broke off without a bill costs nothing.",
        Patch(
            "pipeline.settlement.settle:_said_that_it_failed",
            "attempt_result.status >= 300 or (attempt_result.failed and not attempt_result.content_seen)",
            "attempt_result.usage is None",
        ),
        "breaks.py::test_u9_neither_bill_nor_done[3-FIN-openrouter]",
        "breaks.py::test_u9_done_but_no_bill",
    ),
    _one(
        "U10-errors-in-streams-pass-unseen",
        "An error object in a stream is not noticed.",
        Patch("StreamMeter._note_error", "self.error_seen = True", "self.error_seen = False"),
        "errors.py::test_u10_an_error_in_the_middle_of_a_stream[True]",
        "errors.py::test_u10_an_error_instead_of_content",
    ),
    _one(
        "U11-a-failure-is-free",
        "An error under 200 is free, also where the provider has a record of it.",
        Patch(
            "_certainly_unbilled",
            "if attempt_result.generation_id is not None and terms.has_generations:\n    return False",
        ),
        "errors.py::test_u11_an_error_under_200_with_a_generation",
    ),
    _one(
        "U11-a-failure-is-charged",
        "An error under 200 is charged at the worst case.",
        Patch(
            "pipeline.settlement.settle:_said_that_it_failed",
            "attempt_result.status >= 300 or (attempt_result.failed and not attempt_result.content_seen)",
            "attempt_result.status >= 300",
        ),
        "errors.py::test_u11_an_error_under_200[plain-openrouter]",
    ),
    _one(
        "U12-a-refusal-is-charged",
        "A status in the 400s is charged at the worst case.",
        Patch(
            "pipeline.settlement.settle:_said_that_it_failed",
            "attempt_result.status >= 300",
            "attempt_result.status >= 500",
        ),
        "errors.py::test_u12_too_many_requests[seconds-openrouter]",
    ),
    _one(
        "U13-a-refusal-of-the-key-is-charged",
        "A status below 429 is charged at the worst case.",
        Patch(
            "pipeline.settlement.settle:_said_that_it_failed",
            "attempt_result.status >= 300",
            "attempt_result.status >= 429",
        ),
        "errors.py::test_u13_refused[404-plain-openrouter]",
        "errors.py::test_u13_the_operators_key_or_account[False-stream-plain]",
        "heads.py::test_u24_a_redirect[302-plain-openrouter]",
    ),
    _one(
        "U14-a-failure-is-charged",
        "A status in the 500s is charged at the worst case.",
        Patch(
            "pipeline.settlement.settle:_said_that_it_failed",
            "attempt_result.status >= 300",
            "300 <= attempt_result.status < 500",
        ),
        "errors.py::test_u14_a_web_page[503-openrouter]",
        "errors.py::test_u14_a_failure_in_json",
    ),
    _one(
        "U15-life-stretches-the-total",
        "Each byte that comes gives the answer its whole time again.",
        Patch("PooledResponse.check", "self.start_s + deadlines.total_s", "self._last_s + deadlines.total_s"),
        "odd_bytes.py::test_u15_byte_after_byte_for_ever[plain]",
        "silence.py::test_u5_comments_do_not_last_for_ever",
    ),
    _one(
        "U16-events-are-kept-whole",
        "An event is kept until it ends, however large it is.",
        Patch("EventSplitter.feed", "len(pending) <= self._max_event_bytes", "len(pending) >= 0"),
        "odd_bytes.py::test_u16_one_event_of_50_megabytes",
    ),
    Mutation(
        "U17-chunks-are-text",
        "Each chunk is taken for a text of its own.",
        tuple(
            Patch(
                f"StreamMeter.{way}",
                "given = self._until_done(chunk) if not self.done else self._give(chunk)",
                "chunk = chunk.decode('utf-8', 'replace').encode()\n"
                "given = self._until_done(chunk) if not self.done else self._give(chunk)",
            )
            for way in ("_feed_any", "_feed_passing")
        ),
        (
            f"{_TESTS}odd_bytes.py::test_u17_cut_in_two_anywhere[LF]",
            f"{_TESTS}odd_bytes.py::test_u17_one_byte_a_chunk[openrouter]",
            f"{_TESTS}odd_bytes.py::test_u18_strange_streams[broken UTF-8]",
        ),
    ),
    _one(
        "U18-lines-end-in-LF",
        "Events end at two LF only.",
        Patch("_EVENT_END", "re.compile(...)", r're.compile(rb"\n\n")'),
        "odd_bytes.py::test_u18_strange_streams[CR]",
        "odd_bytes.py::test_u18_strange_streams[CRLF]",
    ),
    _one(
        "U19-the-first-bill-counts",
        "The first usage of a stream is taken for its bill.",
        Patch("StreamMeter._note_usage", "later(self.usage, usage)", "self.usage"),
        "odd_bytes.py::test_u19_a_bill_in_an_odd_place[before, as a preview]",
        "odd_bytes.py::test_u19_a_bill_in_an_odd_place[twice]",
    ),
    _one(
        "U20-zero-is-believed",
        "A cost of 0 is booked for an answer that has a price.",
        Patch(
            "_doubtful_zero", "usage.cost_pusd != 0 or usage.is_byok or not usage.output_tokens", "usage is not None"
        ),
        "figures.py::test_u20_a_cost_that_cannot_be[zero for a model that has a price-stream]",
    ),
    _one(
        "U20-an-excess-is-not-told",
        "What costs more than was set aside is not flagged.",
        Patch(
            "pipeline.settlement.settle:_settled", "reserved_pusd is not None and cost_pusd > reserved_pusd", "False"
        ),
        "figures.py::test_u20_more_than_was_set_aside[plain]",
    ),
    _one(
        "U21-any-number-is-a-count",
        "Counts are taken as they come.",
        Patch("wire.token_classes:whole", "value if 0 <= value <= MAX_TOKENS else None", "value"),
        "figures.py::test_u21_counts_that_cannot_be[large-plain]",
    ),
    _one(
        "U22-packed-is-passed-on",
        "What is packed though nobody asked for it goes to the client so, and its bill is not seen.",
        Patch("ENCODINGS", '{"gzip", "x-gzip", "deflate"}', "{None}"),
        "heads.py::test_u22_packed_though_nobody_asked[gzip-plain]",
        "heads.py::test_u22_packed_though_nobody_asked[deflate-stream]",
    ),
    _one(
        "U22-unpacked-at-once",
        "What is packed is unpacked in one piece, however large that is.",
        Patch(
            "Inflater.take", "self._undo.decompress(self._input, _PIECE_BYTES)", "self._undo.decompress(self._input)"
        ),
        "heads.py::test_u22_a_bomb[stream]",
    ),
    _one(
        "U23-cookies-travel",
        "A provider's cookie reaches the client.",
        Patch("_RESPONSE_NAMES", "{..., 'cf-ray'}", "{..., 'cf-ray', 'set-cookie'}"),
        "heads.py::test_u23_headers_that_are_nobody_elses[plain-openrouter]",
    ),
    _one(
        "U23-any-number-of-headers",
        "Heads have no end.",
        Patch("providers.transport.pool.connection:_HEADERS_MAX", "1000", "10**9"),
        "heads.py::test_u23_a_head_that_can_be_read_in_two_ways[1001 headers-plain]",
    ),
    _one(
        "U24-redirects-are-followed",
        "The key goes wherever a redirect points.",
        Patch(
            "PooledTransport.send",
            "if self._asks_proxy and answer.status == 407: ...",
            "where = answer.header('location') or ''\n"
            "if where.startswith('http://127.'):\n"
            "    return await PooledTransport(where).send(method, where, headers, body, deadlines)\n"
            "if self._asks_proxy and answer.status == 407: ...",
        ),
        "heads.py::test_u24_a_redirect[307-plain-openrouter]",
    ),
    _one(
        "U25-a-stream-has-events",
        "JSON that calls itself a stream is not read.",
        Patch("StreamMeter._read_one", 'event.lstrip().startswith((b"{", b"["))', "False"),
        "heads.py::test_u25_json_that_calls_itself_a_stream",
    ),
    _one(
        "U26-any-list-is-taken",
        "A list whose prices have all moved a thousandfold is taken.",
        Patch("accept_refresh", "len(moved) * _MOVED_SHARE > max(len(old.entries), FEW * _MOVED_SHARE)", "False"),
        "prices.py::test_u26_a_list_that_cannot_be[everything times 1000]",
    ),
    _one(
        "U26-null-breaks-the-list",
        "One price that is null makes the whole list fail.",
        Patch("parse_openrouter_model", "pricing.get(key) is None", "key not in pricing"),
        "prices.py::test_u26_what_is_no_price[None]",
    ),
    _one(
        "U26-a-fall-counts-at-once",
        "A price that falls to nothing is believed.",
        Patch("dearer", "max(amounts, default=None)", "min(amounts, default=None)"),
        "prices.py::test_u26_one_price_falls_to_nothing",
    ),
    _one(
        "U27-anybodys-record",
        "The record of another generation is booked.",
        Patch("read_generation", 'data["id"] != generation_id', "False"),
        "generation.py::test_u27_never_known[another id]",
    ),
    _one(
        "U27-not-known-is-final",
        "A record that is not there yet never will be.",
        Patch(
            "SettlePending._ask",
            "try: ...\nexcept GenerationUnknownError:\n    pass\nexcept GenerationUnavailableError as error: ...",
            "try: ...\n"
            "except GenerationUnknownError:\n"
            "    return None, False\n"
            "except GenerationUnavailableError as error: ...",
        ),
        "generation.py::test_u27_not_known_for_a_while[1-plain]",
    ),
    _one(
        "U27-unknown-is-free",
        "What nobody knows the cost of costs nothing.",
        Patch(
            "give_up",
            'Settlement("settled", reserved_pusd, source, frozenset(flags))',
            'Settlement("settled", 0, source, frozenset(flags))',
        ),
        "generation.py::test_u27_never_known[500]",
        "figures.py::test_u20_a_cost_that_cannot_be[negative-plain]",
    ),
    Mutation(
        "U28-closed-ones-are-used",
        "A connection whose end was seen is used once more.",
        (
            Patch(
                "PooledTransport._take",
                "transport is not None and not transport.is_closing()"
                " and now_s - connection.idle_since_s < self._keepalive_s",
                "now_s - connection.idle_since_s < self._keepalive_s",
            ),
            Patch("PooledTransport.gone", "self._idle.pop(connection, None)"),
            Patch("PooledTransport.stale", "self._idle.pop(connection, None)", "pass"),
        ),
        (f"{_TESTS}reuse.py::test_u28_closed_long_before",),
    ),
    _one(
        "U28-answers-nobody-asked-for",
        "What comes on an idle connection is taken for the next answer.",
        Patch(
            "providers.transport.pool.connection:UpstreamConnection.data_received",
            "if answer is None:\n    self.abort()\n    return",
            "if answer is None:\n    self._loop.call_later(0.001, self.data_received, data)\n    return",
        ),
        "reuse.py::test_u28_an_answer_that_nobody_asked_for",
    ),
    _one(
        "chain-a-role-is-content",
        "An event that only names the role counts as content: after it no other target is asked.",
        Patch(
            "wire.stream_meter:_says_something",
            'any(value for name, value in part.items() if name != "role")',
            "any(part.values())",
        ),
        "chain.py::test_every_cut[words]",
        "chain.py::test_five_fail_and_the_sixth_answers[stream]",
    ),
    _one(
        "chain-breakers-never-open",
        "A provider that fails is asked by every request.",
        Patch("Breaker._fails_too_often", "rules, counts = self._rules, self.attempts", "return False"),
        "chain.py::test_an_outage[503-4.0]",
    ),
)
