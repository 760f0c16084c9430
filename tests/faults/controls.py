"""A bug for each row of docs/trust/faults.md: with it the row's tests must fail. The row's id begins its name."""

from typing import Final

from tests.mutations.list import Mutation, Patch

_TESTS = "tests/faults/test_"
_ADDRESS = "proxy/providers/pool_address.py"
_ANSWER = "proxy/wire/answer.py"
_CATALOGUE = "proxy/policy/pricing/catalogue.py"
_CONNECTION = "proxy/providers/pool_connection.py"
_GENERATION = "proxy/providers/generation.py"
_HEADERS = "proxy/wire/headers.py"
_INFLATE = "proxy/providers/inflate.py"
_METER = "proxy/wire/meter.py"
_POOL = "proxy/providers/pool.py"
_POOLED = "proxy/providers/pool_answer.py"
_SETTLE = "proxy/pipeline/settle.py"
_SSE = "proxy/wire/sse.py"


def _one(name: str, failure: str, file: str, old: str, new: str, *tests: str) -> Mutation:
    return Mutation(name, failure, (Patch(file, old, new),), tuple(_TESTS + test for test in tests))


CONTROLS: Final = (
    _one(
        "U1-not-sent-is-charged",
        "A connection that was refused counts as one that may have been billed.",
        "proxy/providers/unreachable.py",
        '{_why(error, host, whose)}", dispatched=False',
        '{_why(error, host, whose)}", dispatched=True',
        "connect.py::test_u1_nobody_listens[openrouter-plain]",
        "connect.py::test_u2_no_address[unknown]",
    ),
    _one(
        "U2-a-slow-name-is-charged",
        "A name that takes too long counts as a request that was sent.",
        "proxy/providers/unreachable.py",
        'f"no connection within the connect time-out{by}", dispatched=False',
        'f"no connection within the connect time-out{by}", dispatched=True',
        "connect.py::test_u2_no_address[slow]",
    ),
    _one(
        "U2-no-address-is-no-error",
        "A name without an address is an error that nobody expects.",
        _ADDRESS,
        '        raise OSError("the name has no address")',
        "        raise IndexError",
        "connect.py::test_u2_no_address[empty]",
    ),
    _one(
        "U3-any-certificate",
        "Certificates are not checked.",
        "proxy/providers/network.py",
        "    context.minimum_version = ssl.TLSVersion.TLSv1_2",
        "    context.check_hostname = False\n    context.verify_mode = ssl.CERT_NONE",
        "connect.py::test_u3_a_certificate_that_is_none[authority-plain]",
        "connect.py::test_u3_a_certificate_that_is_none[time-stream]",
        "connect.py::test_u3_a_certificate_that_is_none[host-plain]",
    ),
    _one(
        "U3-any-host",
        "A certificate of another host will do.",
        "proxy/providers/network.py",
        "    context.minimum_version = ssl.TLSVersion.TLSv1_2",
        "    context.check_hostname = False",
        "connect.py::test_u3_a_certificate_that_is_none[host-stream]",
    ),
    _one(
        "U4-no-answer-is-free",
        "A request that nothing came back for is released.",
        _SETTLE,
        "    if not heard.dispatched or heard.canned:",
        "    if heard.status is None or heard.canned:",
        "silence.py::test_u4_no_answer_begins[openrouter-plain]",
        "silence.py::test_u4_half_a_head[stream]",
        "breaks.py::test_u6_before_the_head_is_complete[nothing-RST-plain-plain]",
    ),
    _one(
        "U4-asked-again",
        "A request that may have been billed is sent once more.",
        _POOL,
        "        while not answer.status:\n            await answer.wait()\n",
        "        try:\n"
        "            while not answer.status:\n"
        "                await answer.wait()\n"
        "        except TransportError:\n"
        "            return await self.send(method, url, headers, body, deadlines)\n",
        "silence.py::test_u4_no_answer_begins[openrouter-plain]",
        "breaks.py::test_u6_before_the_head_is_complete[nothing-RST-openrouter-stream]",
        "reuse.py::test_u28_closed_while_it_is_used_again[RST a little later]",
    ),
    _one(
        "U5-silence-is-an-end",
        "A stream that goes silent counts as one that is over.",
        _POOLED,
        'self.fail("idle_timeout", "the provider went silent in the middle of its answer")',
        "self.finish(), self._transport.abort(), self.wake()",
        "silence.py::test_u5_silence_in_a_stream[3]",
    ),
    _one(
        "U5-comments-are-no-life",
        "Only the length of the answer counts, so that comments do not keep it open.",
        _POOLED,
        "self._last_s + deadlines.idle_s if self.status",
        "self._start_s + deadlines.idle_s if self.status",
        "silence.py::test_u5_comments_are_life",
    ),
    _one(
        "U6-a-break-is-not-sent",
        "What broke before an answer began counts as never sent.",
        _POOLED,
        "raise TransportError(*self._failure, dispatched=True)",
        "raise TransportError(*self._failure, dispatched=self.status != 0)",
        "breaks.py::test_u6_before_the_head_is_complete[half a head-FIN-openrouter-plain]",
        "breaks.py::test_u6_before_the_request_was_read[RST]",
    ),
    _one(
        "U7-half-a-JSON",
        "JSON that ends with its connection is passed on, however much of it came.",
        _ANSWER,
        '    if text[-1:] != b"}":\n        return True\n',
        '    if text[-1:] != b"}":\n        return False\n',
        "breaks.py::test_u7_json_without_a_length_that_ends_early[0.5-openrouter]",
    ),
    Mutation(
        "U7-short-of-its-length",
        "An answer whose connection ends is whole, whatever its length said.",
        (
            Patch(
                _CONNECTION,
                "            if self._until_close and exc is None and not answer.failed:",
                "            if answer.status and exc is None and not answer.failed:",
            ),
            Patch(_ANSWER, '    if text[:1] != b"{":\n', "    if text is not None:\n"),
        ),
        (f"{_TESTS}breaks.py::test_u7_json_that_ends_early[length-openrouter]",),
    ),
    _one(
        "U8-only-done-ends",
        "Without [DONE] the bill at the end of a stream is not believed.",
        _METER,
        "            self.usage_is_last = self.error_seen or self._ends(choices_of(message))",
        "            self.usage_is_last = False",
        "breaks.py::test_u8_no_done_but_the_bill_is_there[FIN]",
    ),
    _one(
        "U8-finished-is-broken",
        "A whole answer without [DONE] and without a bill is called broken, and its provider set aside.",
        "proxy/pipeline/relay.py",
        "        if meter.finished or (billed",
        "        if (billed",
        "breaks.py::test_u8_finished_and_neither_bill_nor_done[last chunk-plain]",
    ),
    _one(
        "U9-broken-is-free",
        "A stream that broke off without a bill costs nothing.",
        _SETTLE,
        "    return heard.status >= 300 or (heard.failed and not heard.content_seen)",
        "    return heard.usage is None",
        "breaks.py::test_u9_neither_bill_nor_done[3-FIN-openrouter]",
        "breaks.py::test_u9_done_but_no_bill",
    ),
    _one(
        "U10-errors-in-streams-pass-unseen",
        "An error object in a stream is not noticed.",
        _METER,
        "            self.error_seen = True\n",
        "            self.error_seen = False\n",
        "errors.py::test_u10_an_error_in_the_middle_of_a_stream[True]",
        "errors.py::test_u10_an_error_instead_of_content",
    ),
    _one(
        "U11-a-failure-is-free",
        "An error under 200 is free, also where the provider has a record of it.",
        _SETTLE,
        "    if heard.generation_id is not None and terms.has_generations:\n        return False\n    return _said",
        "    return _said",
        "errors.py::test_u11_an_error_under_200_with_a_generation",
    ),
    _one(
        "U11-a-failure-is-charged",
        "An error under 200 is charged at the worst case.",
        _SETTLE,
        "    return heard.status >= 300 or (heard.failed and not heard.content_seen)",
        "    return heard.status >= 300",
        "errors.py::test_u11_an_error_under_200[plain-openrouter]",
    ),
    _one(
        "U12-a-refusal-is-charged",
        "A status in the 400s is charged at the worst case.",
        _SETTLE,
        "    return heard.status >= 300 or (",
        "    return heard.status >= 500 or (",
        "errors.py::test_u12_too_many_requests[seconds-openrouter]",
    ),
    _one(
        "U13-a-refusal-of-the-key-is-charged",
        "A status below 429 is charged at the worst case.",
        _SETTLE,
        "    return heard.status >= 300 or (",
        "    return heard.status >= 429 or (",
        "errors.py::test_u13_refused[404-plain-openrouter]",
        "errors.py::test_u13_the_operators_key_or_account[False-stream-plain]",
        "heads.py::test_u24_a_redirect[302-plain-openrouter]",
    ),
    _one(
        "U14-a-failure-is-charged",
        "A status in the 500s is charged at the worst case.",
        _SETTLE,
        "    return heard.status >= 300 or (",
        "    return 300 <= heard.status < 500 or (",
        "errors.py::test_u14_a_web_page[503-openrouter]",
        "errors.py::test_u14_a_failure_in_json",
    ),
    _one(
        "U15-life-stretches-the-total",
        "Each byte that comes gives the answer its whole time again.",
        _POOLED,
        "        total_s = self._start_s + deadlines.total_s",
        "        total_s = self._last_s + deadlines.total_s",
        "odd_bytes.py::test_u15_byte_after_byte_for_ever[plain]",
        "silence.py::test_u5_comments_do_not_last_for_ever",
    ),
    _one(
        "U16-events-are-kept-whole",
        "An event is kept until it ends, however large it is.",
        _SSE,
        "        if len(pending) <= self._max_event_bytes:",
        "        if len(pending) >= 0:",
        "odd_bytes.py::test_u16_one_event_of_50_megabytes",
    ),
    _one(
        "U17-chunks-are-text",
        "Each chunk is taken for a text of its own.",
        _METER,
        "        given = self._until_done(chunk) if not self.done else self._give(chunk)",
        '        chunk = chunk.decode("utf-8", "replace").encode()\n'
        "        given = self._until_done(chunk) if not self.done else self._give(chunk)",
        "odd_bytes.py::test_u17_cut_in_two_anywhere[LF]",
        "odd_bytes.py::test_u17_one_byte_a_chunk[openrouter]",
        "odd_bytes.py::test_u18_strange_streams[broken UTF-8]",
    ),
    _one(
        "U18-lines-end-in-LF",
        "Events end at two LF only.",
        _SSE,
        r'_EVENT_END: Final = re.compile(rb"(?>\r\n|\n|\r)(?>\r\n|\n|\r)")',
        r'_EVENT_END: Final = re.compile(rb"\n\n")',
        "odd_bytes.py::test_u18_strange_streams[CR]",
        "odd_bytes.py::test_u18_strange_streams[CRLF]",
    ),
    _one(
        "U19-the-first-bill-counts",
        "The first usage of a stream is taken for its bill.",
        _METER,
        "self.usage = usage if self.usage is None else later(self.usage, usage)",
        "self.usage = usage if self.usage is None else self.usage",
        "odd_bytes.py::test_u19_a_bill_in_an_odd_place[before, as a preview]",
        "odd_bytes.py::test_u19_a_bill_in_an_odd_place[twice]",
    ),
    _one(
        "U20-zero-is-believed",
        "A cost of 0 is booked for an answer that has a price.",
        _SETTLE,
        "    if usage.cost_pusd != 0 or usage.is_byok or not usage.output_tokens:",
        "    if usage is not None:",
        "figures.py::test_u20_a_cost_that_cannot_be[zero for a model that has a price-stream]",
    ),
    _one(
        "U20-an-excess-is-not-told",
        "What costs more than was set aside is not flagged.",
        _SETTLE,
        "    if reserved_pusd is not None and cost_pusd > reserved_pusd:",
        "    if False:",
        "figures.py::test_u20_more_than_was_set_aside[plain]",
    ),
    _one(
        "U21-any-number-is-a-count",
        "Counts are taken as they come.",
        "proxy/wire/reckoning.py",
        "        return value if 0 <= value <= MAX_TOKENS else None",
        "        return value",
        "figures.py::test_u21_counts_that_cannot_be[huge-plain]",
    ),
    _one(
        "U22-packed-is-passed-on",
        "What is packed though nobody asked for it goes to the client so, and its bill is not seen.",
        _INFLATE,
        'ENCODINGS = frozenset({"gzip", "x-gzip", "deflate"})',
        "ENCODINGS = frozenset({None})",
        "heads.py::test_u22_packed_though_nobody_asked[gzip-plain]",
        "heads.py::test_u22_packed_though_nobody_asked[deflate-stream]",
    ),
    _one(
        "U22-unpacked-at-once",
        "What is packed is unpacked in one piece, however large that is.",
        _INFLATE,
        "        given = self._undo.decompress(self._input, _PIECE_BYTES)",
        "        given = self._undo.decompress(self._input)",
        "heads.py::test_u22_a_bomb[stream]",
    ),
    _one(
        "U23-cookies-travel",
        "A provider's cookie reaches the client.",
        _HEADERS,
        '        "cf-ray",\n',
        '        "cf-ray",\n        "set-cookie",\n',
        "heads.py::test_u23_headers_that_are_nobody_elses[plain-openrouter]",
    ),
    _one(
        "U23-any-number-of-headers",
        "Heads have no end.",
        _CONNECTION,
        "_HEADERS_MAX = 1000",
        "_HEADERS_MAX = 10**9",
        "heads.py::test_u23_a_head_that_can_be_read_in_two_ways[1001 headers-plain]",
    ),
    _one(
        "U24-redirects-are-followed",
        "The key goes wherever a redirect points.",
        _POOL,
        "        if self._asks_proxy and answer.status == 407:\n",
        '        where = answer.header("location") or ""\n'
        '        if where.startswith("http://127."):\n'
        "            return await PooledTransport(where).send(method, where, headers, body, deadlines)\n"
        "        if self._asks_proxy and answer.status == 407:\n",
        "heads.py::test_u24_a_redirect[307-plain-openrouter]",
    ),
    _one(
        "U25-a-stream-has-events",
        "JSON that calls itself a stream is not read.",
        _METER,
        '        elif event.lstrip().startswith((b"{", b"[")):',
        "        elif False:",
        "heads.py::test_u25_json_that_calls_itself_a_stream",
    ),
    _one(
        "U26-any-list-is-taken",
        "A list whose prices have all moved a thousandfold is taken.",
        _CATALOGUE,
        "    if len(moved) * _MOVED_SHARE > max(len(old.entries), _FEW * _MOVED_SHARE):",
        "    if False:",
        "prices.py::test_u26_a_list_that_cannot_be[everything times 1000]",
    ),
    _one(
        "U26-null-breaks-the-list",
        "One price that is null makes the whole list fail.",
        _CATALOGUE,
        "        if pricing.get(key) is None:",
        "        if key not in pricing:",
        "prices.py::test_u26_what_is_no_price[None]",
    ),
    _one(
        "U26-a-fall-counts-at-once",
        "A price that falls to nothing is believed.",
        _CATALOGUE,
        "        rates[name] = max(amounts, default=None)",
        "        rates[name] = min(amounts, default=None)",
        "prices.py::test_u26_one_price_falls_to_nothing",
    ),
    _one(
        "U27-anybodys-record",
        "The record of another generation is booked.",
        _GENERATION,
        '        if data["id"] != generation_id:',
        "        if False:",
        "generation.py::test_u27_never_known[another id]",
    ),
    _one(
        "U27-not-known-is-final",
        "A record that is not there yet never will be.",
        "proxy/jobs/settle_pending.py",
        "                except GenerationUnknownError:\n                    pass\n",
        "                except GenerationUnknownError:\n                    return None, False\n",
        "generation.py::test_u27_not_known_for_a_while[1-plain]",
    ),
    _one(
        "U27-unknown-is-free",
        "What nobody knows the cost of costs nothing.",
        _SETTLE,
        '    return Verdict("settled", reserved_pusd, source, frozenset(flags))',
        '    return Verdict("settled", 0, source, frozenset(flags))',
        "generation.py::test_u27_never_known[500]",
        "figures.py::test_u20_a_cost_that_cannot_be[negative-plain]",
    ),
    Mutation(
        "U28-closed-ones-are-used",
        "A connection whose end was seen is used once more.",
        (
            Patch(
                _POOL,
                "            if connection.usable and now_s - connection.idle_since_s < self._keepalive_s:",
                "            if now_s - connection.idle_since_s < self._keepalive_s:",
            ),
            Patch(
                _POOL,
                "        self._idle.pop(connection, None)\n        self._open.discard(connection)",
                "        self._open.discard(connection)",
            ),
            Patch(
                _POOL,
                "    def stale(self, connection: Connection) -> None:\n        self._idle.pop(connection, None)",
                "    def stale(self, connection: Connection) -> None:\n        pass",
            ),
        ),
        (f"{_TESTS}reuse.py::test_u28_closed_long_before",),
    ),
    _one(
        "U28-answers-nobody-asked-for",
        "What comes on an idle connection is taken for the next answer.",
        _CONNECTION,
        "        if answer is None:  # an answer that nobody asked for\n            self.abort()\n            return\n",
        "        if answer is None:\n"
        "            self._loop.call_later(0.001, self.data_received, data)\n"
        "            return\n",
        "reuse.py::test_u28_an_answer_that_nobody_asked_for",
    ),
    _one(
        "chain-a-role-is-content",
        "An event that only names the role counts as content: after it no other target is asked.",
        _METER,
        'if isinstance(part, dict) and any(value for name, value in part.items() if name != "role"):',
        "if isinstance(part, dict) and any(part.values()):",
        "chain.py::test_every_cut[words]",
        "chain.py::test_five_fail_and_the_sixth_answers[stream]",
    ),
    _one(
        "chain-breakers-never-open",
        "A provider that fails is asked by every request.",
        "proxy/policy/breaker.py",
        "        rules, counts = self._rules, self._attempts\n",
        "        return False\n",
        "chain.py::test_an_outage[503-4.0]",
    ),
)
