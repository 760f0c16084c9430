"""The one list of tests whose stands try each target once and open no breaker. All others run on the shipped defaults.

A test belongs here if it is about a single attempt, such as what is booked for one that failed, or about many requests
that are meant to fail. What a user gets is never shown by one of these.
"""

import os
from collections.abc import Mapping
from typing import Any

ONE_TRY: Mapping[str, Any] = {
    "retry": {"attempts": 1},
    "breaker": {"failures": 1000, "min_attempts": 1_000_000},
}

LISTED: Mapping[str, str] = {  # a file, or a folder with its slash -> why
    "tests/clients/": "what a program makes of one answer or one failure of the provider",
    "tests/faults/": "each row of docs/trust/faults.md is about one attempt, what is told of it and what is booked",
    "tests/pipeline/test_transparent.py": "one answer of the provider is held against what came through",
    "tests/once/test_once.py": "what is kept of a request that failed: each failure is one attempt",
    "tests/quotas/test_key_limits.py": "attempts are counted against a key one by one",
    "tests/quotas/test_settling.py": "what one attempt is booked at, whatever became of it",
    "tests/routes/test_sdk_exceptions.py": "which failure of a chain is told, where each target fails once",
    "tests/routes/test_seed.py": "what is known of a target after one attempt that failed, and after a restart",
    "tests/routes/test_walk.py": "the steps of a walk one by one, under rules that each test lays over the rows",
    "tests/web/test_access_log.py": "the figures of a line are those of one attempt",
}

OWN_RULES: Mapping[str, str] = {  # files that write rules of their own, for these are their subject
    "tests/faults/test_breaks.py": "a breaker opens and closes",
    "tests/faults/chain.py": "breakers of the servers of a route",
    "tests/routes/test_walk.py": "retries, breakers and their budgets",
    "tests/web/test_access_log.py": "the log tells of breakers that open",
    "tests/faults/test_gateway.py": "a gateway's time-out is never repeated, however often a target may be tried",
    "tests/streams/test_keys.py": "many failures of one provider, which must not rest meanwhile",
    "tests/holds/test_fuzz.py": "thousands of broken answers of one provider, which must not rest meanwhile",
    "tests/holds/test_reload.py": "a reload with other rules",
    "tests/pipeline/test_plan.py": "breakers open within a story of a few requests, with plans and without",
    "tests/cli/test_request_commands.py": "no rules: a breaker's state in an answer that is shown as a screen",
}


def rules() -> Mapping[str, Any]:
    """Return what a provider's block of the running test needs: nothing, but for the tests of the list."""
    file = os.environ.get("PYTEST_CURRENT_TEST", "").partition("::")[0]
    return ONE_TRY if any(file == name or (name.endswith("/") and file.startswith(name)) for name in LISTED) else {}
