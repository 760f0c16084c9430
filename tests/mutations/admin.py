"""Bugs of the operator's API: who is let in, and what is done twice or to what nobody has seen."""

from typing import Final

from tests.mutations.mutation import Mutation, Patch

_ACCESS = "tests/web/test_admin_access.py::test_"
_FRAME = "tests/web/test_admin_frame.py::test_"

MUTATIONS: Final = (
    Mutation(
        "a-viewer-who-changes",
        "Whoever was given a token to read with gives themselves one to change with.",
        (Patch("check_role", "operator.role < needed", "False"),),
        (f"{_ACCESS}only_the_right_ones_pass[POST /operators]",),
    ),
    Mutation(
        "an-operator-for-ever",
        "A token that was given until Friday opens everything on Monday.",
        (Patch("_check_row", "now_ms >= row.expires_ms", "now_ms < 0"),),
        (f"{_ACCESS}only_the_right_ones_pass[GET /users]",),
    ),
    Mutation(
        "a-users-page-at-the-operators-door",
        "A web page that may ask models for its users asks for their keys as well.",
        (Patch("check_origin", "not is_same(origin, host)", "False"),),
        (f"{_ACCESS}only_the_right_ones_pass[GET /users]",),
    ),
    Mutation(
        "somebody-else-on-the-socket",
        "A socket whose mode was changed makes an operator of every user of the machine.",
        (Patch("socket_operator", "uid not in (_ROOT, os.geteuid())", "False"),),
        (f"{_ACCESS}the_socket_answers_its_owner_and_root[POST /users]",),
    ),
    Mutation(
        "two-who-change-at-once",
        "Of two operators who read the same state both change it, and one never learns of the other.",
        (Patch("AdminRequest.change", "self.check_unchanged is not None", "False"),),
        (f"{_FRAME}a_state_that_was_not_seen_is_not_changed",),
    ),
    Mutation(
        "a-second-token-for-a-lost-answer",
        "A program that asks again after a crash makes a second token that nobody knows of.",
        (Patch("SqliteLedger.operate", "claim is not None", "False"),),
        (f"{_FRAME}a_key_is_on_disk_with_its_change",),
    ),
)
