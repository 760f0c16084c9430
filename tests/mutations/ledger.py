"""Bugs of the ledger: rows that are lost, written twice or counted wrongly at a start."""

from typing import Final

from tests.mutations.mutation import Mutation, Patch, TextPatch

_KINDS = "tests/quotas/test_kinds.py::test_"
_SETTLING = "tests/quotas/test_settling.py::test_"
_RELOAD = "tests/holds/test_reload.py::test_"

MUTATIONS: Final = (
    Mutation(
        "bytes-of-a-header-in-a-row",
        "A header in Latin-1 reaches the ledger as half a surrogate pair, and no row can hold it.",
        (
            Patch(
                "pipeline.request.tags:_text",
                "fit_text(header_text(value), _TEXT_CHARS_MAX)",
                "value[:_TEXT_CHARS_MAX]",
            ),
        ),
        ("tests/holds/test_text.py::test_a_header_in_either_encoding[X-Tollkeeper-Use-Case-use_case-Latin-1-lane]",),
    ),
    Mutation(
        "half-a-reload",
        "A reload that is refused has changed the providers in force already.",
        (Patch("SnapshotBuilder.build", "is_built = False", "is_built = False\nself._providers = providers"),),
        (f"{_RELOAD}a_refused_reload_leaves_everything_in_force[schema]",),
    ),
    Mutation(
        "a-histogram-counts-twice",
        "An answer is counted twice in the histograms of a row of the roll-up that is there already.",
        (
            TextPatch(
                "HOURLY",
                "CAST(counts || excluded.counts AS BLOB)",
                "CAST(counts || excluded.counts || excluded.counts AS BLOB)",
            ),
        ),
        (
            "tests/storage/test_performance.py::test_the_roll_up_holds_each_request_once",
            "tests/web/test_model_stats.py::test_what_models_answered_is_counted",
        ),
    ),
    Mutation(
        "a-long-histogram-counts-twice",
        "Once a histogram is long, each further answer is counted twice.",
        (Patch("add_counts", "total.update(read_counts(more))", "total.update(read_counts(more + more))"),),
        ("tests/storage/test_performance.py::test_added_counts_are_the_sum",),
    ),
    Mutation(
        "an-own-key-is-not-remembered",
        "A row says that no own key was used where the answer tells of one.",
        (Patch("Recorder._row", "told.is_byok", "False"),),
        ("tests/pipeline/test_who_was_paid.py::test_an_answer_tells_who_paid[/v1/chat/completions]",),
    ),
    Mutation(
        "one-bad-row-for-all",
        "A row that cannot be written takes all rows along that are written with it.",
        (
            Patch(
                "Writer._write",
                "if len(operations) == 1: ...\nelse: ...",
                "if len(operations) == 1: ...\n"
                "elif operations:\n"
                "    self._resolve(operations, {waiter: (None, error) for _, waiter, _ in operations})\n"
                "else: ...",
            ),
        ),
        ("tests/storage/test_ledger.py::test_a_row_that_cannot_be_written_does_not_take_its_neighbours_along",),
    ),
    Mutation(
        "one-usual-row-for-all",
        "The last row of a group says which columns are as usual: an error, a status or tags of the others are lost.",
        (
            Patch(
                "BatchStatement._variant",
                "mask &= self._mask(values) if usual is None else usual",
                "mask = self._mask(values) if usual is None else usual",
            ),
        ),
        ("tests/storage/test_statements.py::test_every_mixture_of_rows_is_written_as_it_is[3]",),
    ),
    Mutation(
        "an-end-alone-counts-twice",
        "A second end that is alone in its group finds no row to end, and is added to the roll-up all the same.",
        (Patch("Writer._end_alone", "execute(*statements.END.one(end)).rowcount != 1", "False"),),
        ("tests/storage/test_alone.py::test_an_end_alone_that_finds_no_row_leaves_nothing[True]",),
    ),
    Mutation(
        "an-end-alone-before-its-hour",
        "A settlement alone in its group is on disk before its part of the roll-up: a power cut between leaves one.",
        (
            Patch(
                "Writer._end_alone",
                'execute(*statements.HOURLY.one(hour))\nexecute("COMMIT")',
                'execute("COMMIT")\nexecute(*statements.HOURLY.one(hour))',
            ),
        ),
        ("tests/storage/test_alone.py::test_an_end_alone_whose_hour_cannot_be_written_is_undone",),
    ),
    Mutation(
        "opened-alone-behind-the-mark",
        "An open row with an id that the mark has passed is written without it: no start finds what it may have cost.",
        (Patch("Writer._is_opened_alone", "id_ < self._mark_id", "False"),),
        ("tests/storage/test_alone.py::test_a_start_finds_what_was_opened_alone_behind_the_mark",),
    ),
    Mutation(
        "an-end-by-a-wait-that-goes-on",
        "The end of a request that was cut off while its row waited for the disk is told by the wait for the row.",
        (Patch("Writer.submit", "not waiter.is_done", "False"),),
        ("tests/storage/test_ledger.py::test_an_end_waits_by_what_its_row_was_waited_for_with_once_that_is_over",),
    ),
    Mutation(
        "several-attempts-alone",
        "The end of a request with several attempts that is alone in its group loses the row of its last attempt.",
        (Patch("Writer._is_ended_alone", "attempt_ends", "False"),),
        ("tests/storage/test_alone.py::test_an_end_alone_is_written_as_in_a_group[several]",),
    ),
    Mutation(
        "a-dead-writer-is-ready",
        "The thread that writes has ended, and requests wait for it for ever.",
        (Patch("Writer._run", "self._break(error)"),),
        ("tests/holds/test_watchers.py::test_it_stops_by_itself",),
    ),
    Mutation(
        "crash-not-counted-at-start",
        "Open rows count again only once somebody has looked them up: until then there is room that is not there.",
        (
            Patch(
                "rebuilt_book",
                "book.load_open("
                "row.id, scopes, row.started_ms, row.held_pusd, row.reserved_tokens or 0, row.held_pieces)",
                "book.load_open(row.id, scopes, row.started_ms, 0, 0)",
            ),
        ),
        (f"{_SETTLING}a_figure_that_comes_late",),
    ),
    Mutation(
        "spend-queued-in-memory",
        "Rows wait in memory for the next flush while the client has its answer; a stop loses them.",
        (
            Patch(
                "Recorder.end",
                "written = services.ledger.end(end, self._written, self._opening)",
                "asyncio.get_running_loop().call_later(3, services.ledger.end, end, self._written)\n"
                "return settlement\n"
                "written = services.ledger.end(end, self._written, self._opening)",
            ),
        ),
        (f"{_SETTLING}a_bill_above_the_worst_case",),
    ),
    Mutation(
        "a-statement-for-the-disk",
        "A statement that SQLite cannot run is held for a full disk, and tried for ever.",
        (Patch("_DISK_CODES", "sqlite3.SQLITE_PERM", "sqlite3.SQLITE_ERROR"),),
        (
            "tests/storage/test_result_codes.py::test_only_what_the_disk_refuses_stops_others",
            "tests/storage/test_result_codes.py::test_a_statement_that_cannot_run_fails_alone_and_at_once",
        ),
    ),
    Mutation(
        "a-full-disk-for-a-statement",
        "The end of a request that a full disk refuses is dropped.",
        (Patch("_DISK_CODES", "sqlite3.SQLITE_FULL", "sqlite3.SQLITE_PERM"),),
        ("tests/storage/test_result_codes.py::test_only_what_the_disk_refuses_stops_others",),
    ),
    Mutation(
        "counters-lost-on-restart",
        "Counters live in memory and begin at zero after each deploy.",
        (
            Patch("rebuilt_book", "book.load_hours(start.totals.hours)", "pass"),
            Patch("rebuilt_book", "book.load_rows(start.totals.rows)", "pass"),
        ),
        (f"{_KINDS}users[cost]",),
    ),
    Mutation(
        "hour-counted-twice-on-restart",
        "The rebuild takes an hour from the roll-up and from its rows.",
        (Patch("read_totals", "(fine.since_ms, part.use_case, patterns)", "(1 << 60, part.use_case, patterns)"),),
        (f"{_SETTLING}a_restart_changes_no_figure",),
    ),
    Mutation(
        "settled-twice",
        "A request that ended is ended again, and counts twice in the roll-up.",
        (
            Patch("Recorder.end", "if settlement is not None:\n    return settlement", "settlement = None"),
            Patch("Recorder.end_after", "if self.settlement is not None:\n    return"),
            Patch("pipeline.run:answer", "recorder.settlement is None", "True"),
            Patch("END", "\"requests.state IN ('open', 'pending')\"", '"TRUE"'),
        ),
        (f"{_SETTLING}a_restart_changes_no_figure",),
    ),
)
