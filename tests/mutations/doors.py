"""Bugs of the pages' doors: somebody who may not gets in, or changes something."""

from typing import Final

from tests.mutations.mutation import Mutation, Patch

_DOORS: Final = "tests/dashboard/test_doors.py"
_EVERY_FORM: Final = f"{_DOORS}::test_what_may_not_be_changed_is_not[/dashboard/stop]"

MUTATIONS: Final = (
    Mutation(
        "a-form-sent-twice",
        "The key of a form is good for ever: a reload stops, or lets go, once more.",
        (Patch("FormKeys.spend", "self._spent.add(int(number))", ""),),
        (f"{_DOORS}::test_a_form_is_sent_once",),
    ),
    Mutation(
        "a-form-of-anybody",
        "The key of one session's form is taken from another session.",
        (Patch("FormKeys.spend", "not is_ours or int(number) <= self._floor", "int(number) <= self._floor"),),
        (_EVERY_FORM,),
    ),
    Mutation(
        "pages-of-other-sites-that-change",
        "A page that may call the API sends forms to the dashboard.",
        (Patch("check_door", "is_foreign or any(...)", "is_foreign"),),
        (_EVERY_FORM,),
    ),
    Mutation(
        "a-viewer-who-stops",
        "A viewer's form is done.",
        (Patch("answer:_viewed", "session.role < view.required_role", "False"),),
        (_EVERY_FORM,),
    ),
    Mutation(
        "a-user-at-the-dashboard",
        "The session of a user opens operators' pages.",
        (Patch("OpenSessions.find", "session is None or session.is_users is not is_users", "session is None"),),
        (_EVERY_FORM,),
    ),
    Mutation(
        "a-session-that-outlives-its-token",
        "Whoever was disabled stays logged in.",
        (
            Patch(
                "open_sessions:_holds",
                "operator is None or operator.name != row.name or operator.disabled",
                "operator is None",
            ),
        ),
        (f"{_DOORS}::test_what_ends_a_token_ends_its_sessions",),
    ),
    Mutation(
        "a-code-for-two",
        "The code of the command line logs in whoever has it, again and again.",
        (Patch("LoginCodes.use", "self._waiting.pop(token_hash(code), None)", "self._waiting.get(token_hash(code))"),),
        (f"{_DOORS}::test_a_code_opens_once",),
    ),
    Mutation(
        "a-code-for-ever",
        "A code that nobody has used stays good.",
        (Patch("LoginCodes.use", "found is None or now_ms >= found.until_ms", "found is None"),),
        (f"{_DOORS}::test_a_code_opens_once",),
    ),
    Mutation(
        "a-header-in-an-address",
        "The address to go on to puts a header into the answer.",
        (Patch("is_own", '"!" <= char <= "~" and char != "\\\\"', 'char != "\\\\"'),),
        (f"{_DOORS}::test_a_login_leads_to_our_own_pages_only",),
    ),
    Mutation(
        "the-requests-of-everybody",
        "A user's own page lists the requests of all.",
        (Patch("own:_requests", '{"user": user, **place}', "{**place}"),),
        ("tests/dashboard/test_own_page.py::test_nothing_of_others_is_shown[/me]",),
    ),
)
