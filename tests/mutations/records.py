"""Bugs of what is kept of requests: a flood without a bound, a secret in a row, a cost that is not the booked one."""

from typing import Final

from tests.mutations.mutation import Mutation, Patch

_REFUSALS = "tests/pipeline/test_refusal_log.py::test_"

MUTATIONS: Final = (
    Mutation(
        "refusals-without-a-bound",
        "A flood of wrong tokens fills the memory until it is written.",
        (Patch("RefusalLog.refused", "self._count(single.popleft())", "pass"),),
        (f"{_REFUSALS}a_flood_is_the_newest_and_a_count_of_the_others",),
    ),
    Mutation(
        "refusals-lost-at-a-stop",
        "What was refused in the last second before a stop is not written.",
        (Patch("KeepRefusals.close", "await self.flush()", "True"),),
        (f"{_REFUSALS}what_came_last_is_on_disk_after_a_stop",),
    ),
    Mutation(
        "a-token-in-a-refusal",
        "The first characters of a token that nobody knows are kept with its refusal.",
        (Patch("web.server.refusal:_reason", "_TOKEN.sub(_HIDDEN, error.message)", "error.message"),),
        (f"{_REFUSALS}no_part_of_a_token_is_kept",),
    ),
    Mutation(
        "corrections-not-shown",
        "A request is listed at the cost before its late correction.",
        (Patch("with_late", 'f"coalesce({cost} + {late}, {late}, {cost})"', "cost"),),
        ("tests/storage/test_request_costs.py::test_late_corrections_count",),
    ),
    Mutation(
        "a-page-that-ends-early",
        "A page that has read enough and found nothing says that there is no more.",
        (
            Patch(
                "storage.sqlite.requests:find_requests",
                "return RequestPage(found, before_id)",
                "return RequestPage(found, None)",
            ),
        ),
        ("tests/contracts/test_request_reports.py::test_any_filter_finds_the_same_page_by_page",),
    ),
)
