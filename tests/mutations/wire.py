"""Bugs of answers and streams: usage that is misread, events that are lost or come too early."""

from typing import Final

from tests.mutations.mutation import Mutation, Patch

_SETTLING = "tests/quotas/test_settling.py::test_"
_TYPED = "tests/wire/test_typed_meter.py::test_"
_METER = "tests/wire/test_stream_meter.py::test_"
_STREAMS = "tests/streams/test_meters.py::test_"
_FINALITY = "tests/faults/test_finality.py::test_"

MUTATIONS: Final = (
    Mutation(
        "a-text-that-ends-its-event",
        "An event is known by its ends, whatever stands between them: a usage, an error, or the end of the stream.",
        (Patch("FramedMeter._knows", "_COLON in event[at:end]", "False"),),
        ("tests/wire/test_stream_meter.py::test_an_event_that_is_known_by_its_ends_is_read_as_any_other",),
    ),
    Mutation(
        "a-text-that-ends-its-only-chunk",
        "A chunk that comes alone is known by its ends, whatever stands between them.",
        (Patch("FramedMeter.knows_chunks", "_COLON in text", "False"),),
        ("tests/wire/test_stream_meter.py::test_chunks_are_known_one_or_several",),
    ),
    Mutation(
        "a-text-that-ends-its-chunk",
        "Among several chunks in a read one is known by its ends, whatever stands between them.",
        (Patch("FramedMeter.knows_chunks", "_COLON in read[text_at:text_end]", "False"),),
        ("tests/wire/test_stream_meter.py::test_chunks_are_known_one_or_several",),
    ),
    Mutation(
        "own-key-in-a-plain-answer",
        "What the provider behind bills an own key is no part of the cost, as the plain reader sees one amount alone.",
        (Patch("plain_usage", "... or usage.is_byok", "... or False"),),
        ("tests/wire/test_plain_answer.py::test_what_an_own_key_cost_is_a_part_of_it",),
    ),
    Mutation(
        "plain-answer-with-an-error",
        "An answer with an error in it is read as a plain one.",
        (Patch("_Message", "error: None = None", "failure: None = None"),),
        ("tests/wire/test_plain_answer.py::test_an_error_is_no_plain_answer",),
    ),
    Mutation(
        "plain-event-whose-usage-is-not-plain",
        "Of an event that is plain but for its usage, that usage is not read.",
        (Patch("read_plain_events", "usage is not None and told is None", "False"),),
        ("tests/wire/test_plain_event.py::test_a_usage_that_is_not_plain_is_read_all_the_same",),
    ),
    Mutation(
        "plain-event-with-a-usage-elsewhere",
        "An event is read as a plain one, though it tells its usage under another name.",
        (Patch("PlainMessage", "x_groq: _Never = _NEVER", "x_other: _Never = _NEVER"),),
        ("tests/wire/test_plain_event.py::test_a_usage_elsewhere_is_read_all_the_same",),
    ),
    Mutation(
        "first-usage-wins",
        "Usage of the first chunk, a preview, is booked.",
        (
            Patch(
                "StreamMeter._note_usage",
                "usage if self.usage is None else later(self.usage, usage)",
                "self.usage or usage",
            ),
        ),
        (f"{_SETTLING}the_last_usage_counts",),
    ),
    Mutation(
        "usage-from-the-last-chunk-only",
        "Usage is looked for in the chunk that ends the answer, and missed where it stands elsewhere.",
        (
            Patch(
                "StreamMeter._note_usage", "usage is not None", "usage is not None and self.finish_reason is not None"
            ),
        ),
        (f"{_METER}it_reads_what_the_stream_says[usage in the first chunk only-False]",),
    ),
    Mutation(
        "cached-tokens-left-out",
        "Anthropic's cached tokens stand beside the input, and are not counted.",
        (Patch("_CountedTokens.__init__", "shape.is_beside or ...", "False and ..."),),
        (f"{_TYPED}counts_of_a_message_are_laid_over_each_other",),
    ),
    Mutation(
        "end-of-a-response-before-its-settlement",
        "The event that ends a stream of typed events passes before the settlement is on disk.",
        (Patch("TypedMeter._feed_closely", "self._hold(chunk[end_at:])\ngiven = chunk[:end_at]", "given = chunk"),),
        (f"{_TYPED}whole",),
    ),
    Mutation(
        "end-of-a-stream-by-a-fragment",
        "The end of a line is taken for a line: a quote of the last event, cut in the right place, ends the answer.",
        (Patch("begun_line", "window[at : at + _DONE_LINE_BYTES]", "window[-_DONE_LINE_BYTES:]"),),
        (f"{_STREAMS}nothing_is_held_but_the_end", f"{_STREAMS}a_quote_of_the_end_in_each_piece"),
    ),
    Mutation(
        "content-behind-the-end-is-dropped",
        "What follows data: [DONE] is kept for a second and then forgotten, content or not.",
        (Patch("StreamMeter._note", "self.goes_on = self._read_done", "pass"),),
        (f"{_STREAMS}content_behind_the_end_goes_on",),
    ),
    Mutation(
        "a-chunk-goes-with-its-usage",
        "A chunk without a choice is dropped for its usage, whatever else it says.",
        (Patch("_tells_only_usage", "member.key not in _ENVELOPE", "member.key in ('choices', 'error')"),),
        (f"{_METER}nothing_but_the_usage_is_lost",),
    ),
    Mutation(
        "half-a-line-end-stays",
        "Of a CR LF that comes in two pieces behind an event that is left out, the LF passes.",
        (Patch("StreamMeter._feed_hiding", r'chunk = chunk.removeprefix(b"\n")', "pass"),),
        (f"{_METER}no_line_end_is_lost_or_added",),
    ),
    Mutation(
        "reasoning-beside-is-free",
        "Thoughts that are counted beside the answer, told by the total alone, are left out: a bill 48 times too low.",
        (Patch("wire.token_classes:_read", "told.total", "usual.total"),),
        ("tests/wire/test_token_classes.py::test_a_shape_without_a_doubt[xAI]",),
    ),
    Mutation(
        "a-total-that-fits-by-chance",
        "One reading that adds up to the total is booked, though a dearer one may be what is billed.",
        (Patch("_sure", "told.may_cache_beside", "False"),),
        ("tests/wire/test_token_classes.py::test_a_contradiction_is_read_the_dear_way_and_named",),
    ),
    Mutation(
        "a-usage-on-the-way-is-the-bill",
        "A count in mid-stream is booked, and what came after it is not.",
        (Patch("StreamMeter._note_usage", "self.usage_is_whole = self.usage_is_last = False", "pass"),),
        (f"{_FINALITY}a_stream_whose_usage_is_not_the_last_word[in mid-stream, then [DONE]-plain]",),
    ),
    Mutation(
        "a-smaller-count-takes-over",
        "The last count holds, also where it is smaller than one before it, or zero.",
        (Patch("later", "max(old, new)", "new"),),
        ("tests/wire/test_token_classes.py::test_a_later_usage[before2-now2-counted2-True]",),
    ),
    Mutation(
        "the-start-of-a-message-is-its-bill",
        "Where no event counts what was written, the one token of message_start is booked.",
        (
            Patch("MessagesMeter.note", "self.usage_is_whole = False"),
            Patch("TypedMeter.note_content", "self.usage_is_whole = self.usage_is_last = False"),
        ),
        (f"{_FINALITY}the_counts_of_a_message[message_stop alone]",),
    ),
    Mutation(
        "only-the-longest-choice-is-counted",
        "Of several choices that tell their own usage one after the other only the longest is booked.",
        (Patch("StreamMeter._with_other_choices", "sum(written)", "max(written)"),),
        ("tests/wire/test_stream_meter.py::test_choices_that_tell_their_own_usage_one_after_the_other",),
    ),
)
