"""Bugs of identity: who a request is for, and what one user may see of another."""

from typing import Final

from tests.mutations.mutation import Mutation, Patch, TextPatch

_FIGURES = "tests/web/test_own_figures.py::test_"
_DATABASE = "tests/quotas/test_database_users.py::test_"
_PEOPLE = "tests/web/test_admin_people.py::test_"
_KEYS = "tests/web/test_admin_keys.py::test_"
_END_USERS = "tests/identity/test_end_users.py::test_"

MUTATIONS: Final = (
    Mutation(
        "plan-that-outlives-the-configuration",
        "What was decided of a request holds for the next one of its connection under another configuration.",
        (
            Patch("planned_hops", "plan.snapshot is not context.snapshot", "False"),
            Patch("planned_hops", "plan.identity is not context.identity", "False"),
            Patch("planned_hops", "plan.generation != services.health.generation", "False"),
        ),
        ("tests/pipeline/test_plan.py::test_plans_change_nothing",),
    ),
    Mutation(
        "plan-that-outlives-the-provider",
        "A request goes where the one before it went, though the provider or its key is set aside since.",
        (Patch("planned_hops", "plan.place.health.is_plain()", "True"),),
        ("tests/pipeline/test_plan.py::test_a_plan_ends_with_what_its_provider_did_last",),
    ),
    Mutation(
        "plan-that-outlives-the-price",
        "A request holds what the price of the one before it asked for.",
        (Patch("reserve_plain", "admission.changes != services.model_lists.changes", "False"),),
        ("tests/pipeline/test_plan.py::test_a_plan_holds_what_the_price_of_now_asks_for",),
    ),
    Mutation(
        "plan-under-a-limit",
        "A request whose user may have short answers only is sent without the bound.",
        (Patch("_is_limited", "has_cost or allowance.has_tokens or allowance.max_tokens is not None", "False"),),
        ("tests/pipeline/test_plan.py::test_a_plan_leaves_the_bound_of_an_answer_to_the_limits",),
    ),
    Mutation(
        "plan-past-the-context",
        "A plan sends a request to the first target of a preset, whatever it asks for.",
        (Patch("planned_hops", "keeps_order(route, 0)", "True"),),
        ("tests/pipeline/test_plan.py::test_a_plan_leaves_order_to_what_a_target_may_not_serve",),
    ),
    Mutation(
        "plan-past-the-length",
        "A plan sends a request to the first target of a preset, however long it is.",
        (Patch("planned_hops", "context.size_bytes > PLAIN_BYTES", "False"),),
        ("tests/pipeline/test_plan.py::test_a_plan_leaves_order_to_what_a_target_may_not_serve",),
    ),
    Mutation(
        "plan-without-a-look",
        "What the first target of a preset answers is passed on unseen, once one of its answers was good.",
        (Patch("Hops.note_proved", "self.place.is_followed = True", "pass"),),
        ("tests/pipeline/test_plan.py::test_a_plan_of_several_targets_looks_at_each_answer",),
    ),
    Mutation(
        "plan-with-time-to-spare",
        "A second attempt at a planned target has as much time as the first.",
        (Patch("Hop.again", "replace(self, deadlines=None, stream_deadlines=None)", "self"),),
        ("tests/pipeline/test_plan.py::test_a_plan_leaves_a_second_attempt_no_more_time_than_there_is",),
    ),
    Mutation(
        "plan-of-the-first-target",
        "A plan holds what the first target of a preset may cost, though another is dearer.",
        (Patch("reserve_plain", "for one in terms: ...", "for one in terms[:1]: ..."),),
        ("tests/pipeline/test_plan.py::test_a_plan_reserves_under_limits_what_reserve_does",),
    ),
    Mutation(
        "plan-of-the-bytes-that-came",
        "Under a limit a plan reserves by the length of what came, where more is sent.",
        (Patch("reserve_plain", "context.written_bytes", "context.written_bytes - 1"),),
        ("tests/pipeline/test_plan.py::test_a_plan_reserves_under_limits_what_reserve_does",),
    ),
    Mutation(
        "shape-past-the-end-of-its-text",
        "What was found of a body holds for one whose text ends early, and hides a field that is given twice.",
        (Patch("BodyShape.parse", "_QUOTE in text", "False"),),
        ("tests/pipeline/test_body_shape.py::test_a_text_that_ends_early_is_read_in_full",),
    ),
    Mutation(
        "splice-past-the-bound",
        "A body of a known shape is sent as the client wrote it, without the bound that was reserved for.",
        (Patch("begin_sending", "route.body is context.body", "True"),),
        ("tests/pipeline/test_plan.py::test_bodies_of_one_shape_are_sent_as_they_are_written_anew",),
    ),
    Mutation(
        "shape-of-a-number-that-changes",
        "Bodies of one shape are sent with a number that is not the one that came.",
        (Patch("body_shape", "dump_body(again) != dump_body(body)", "False"),),
        ("tests/pipeline/test_body_shape.py::test_a_shape_is_of_what_the_fast_parse_reads_exactly",),
    ),
    Mutation(
        "plan-where-little-is-left",
        "A plan lets a request through whose answer a limit lowers, as long as it has room for it.",
        (Patch("reserve_plain", "2 * amount_pusd", "amount_pusd"),),
        ("tests/pipeline/test_plan.py::test_a_plan_reserves_under_limits_what_reserve_does",),
    ),
    Mutation(
        "plan-with-half-of-the-tokens",
        "A plan lets a request through whose answer a limit on tokens lowers.",
        (Patch("reserve_plain", "left_tokens += answer_tokens", "left_tokens += 0"),),
        ("tests/pipeline/test_plan.py::test_a_plan_reserves_under_limits_what_reserve_does",),
    ),
    Mutation(
        "expired-token-of-a-kept-connection",
        "A token that has expired goes on over connections that were open before.",
        (Patch("pipeline.identity.identify:identify", "now_ms < found[2]", "True"),),
        ("tests/pipeline/test_directory.py::test_a_kept_connection_ends_with_its_token",),
    ),
    Mutation(
        "database-users-without-limits",
        "Users made at run time get a token and no limits.",
        (
            Patch(
                "config.overlay:_users",
                "found[name] = stored_user(row)",
                "found[name] = User()",
            ),
        ),
        (f"{_DATABASE}the_same_limits",),
    ),
    Mutation(
        "limits-beside-the-file-forgotten",
        "A limit that is set at run time for a user of the file is stored, shown, and holds nobody.",
        (Patch("merge_limits", "[limit for limit in stored.all if limit.place not in taken]", "[]"),),
        (f"{_PEOPLE}what_the_file_leaves_open_is_set_and_what_it_decides_is_named_with_its_line",),
    ),
    Mutation(
        "groups-at-run-time-forgotten",
        "A group that is made at run time has members, and its limits hold none of them.",
        (Patch("lay_over", "_groups(file, stored.groups, paths)", "file.groups"),),
        (f"{_PEOPLE}groups_hold_their_members_together_and_are_not_removed_in_silence",),
    ),
    Mutation(
        "use-case-limits-forgotten",
        "A limit on a use case without a preset holds nothing that is booked under it.",
        (Patch("use_case_quotas", "[*named, *settings.use_case_limits.items()]", "named"),),
        (f"{_PEOPLE}a_use_case_that_gets_a_limit_has_spent_before",),
    ),
    Mutation(
        "expired-users-go-on",
        "A user whose access has ended spends on with a token that has no end of its own.",
        (Patch("_end_of", "None if user.expires_at is None else moment_ms(user.expires_at)", "None"),),
        ("tests/pipeline/test_directory.py::test_a_configured_users_end_holds_for_tokens_in_the_database[None]",),
    ),
    Mutation(
        "anybody-names-anybody",
        "A header that any client can write names the user: whoever knows a name spends that user's money.",
        (Patch("UserNaming.name", "self._written(headers) if trusted else None", "self._written(headers)"),),
        (f"{_END_USERS}a_header_from_any_other_token_is_ignored_and_stays_here",),
    ),
    Mutation(
        "somebody-else-pays-for-a-disabled-own-key",
        "A user whose own key is disabled goes on with the operator's.",
        (
            Patch(
                "Hops._place",
                "return Hop(at, target, provider, own, -1, health) if own.problem is None else None",
                "if own.problem is None: return Hop(at, target, provider, own, -1, health)",
            ),
        ),
        (f"{_KEYS}a_key_of_a_users_own_is_used_for_them_alone_and_by_nothing_replaced",),
    ),
    Mutation(
        "an-own-key-for-everybody",
        "A key that a user brought is taken into the provider's, and pays for all.",
        (Patch("lay_keys", 'row["user"] is None and row["group"] is None', "row is not None"),),
        (f"{_KEYS}a_key_of_a_users_own_is_used_for_them_alone_and_by_nothing_replaced",),
    ),
    Mutation(
        "a-sealed-key-opens-anywhere",
        "Whoever can write to the database sends a provider's key to another provider.",
        (Patch("associated_data", "[*place, version]", "[place.table, version]"),),
        ("tests/storage/test_sealed_values.py::test_what_was_moved_does_not_open_and_stops_nobody_else[rows]",),
    ),
    Mutation(
        "a-master-key-over-sealed-values",
        "A lost master key is replaced by a new one without a word, and every sealed key is lost for good.",
        (
            Patch(
                "SqliteSealedStore._ring_to_seal",
                "if counts:\n    raise UserError(_master_key_lost(self._master, counts))",
                "pass",
            ),
        ),
        ("tests/storage/test_sealed_values.py::test_no_master_key_is_made_while_values_need_another",),
    ),
    Mutation(
        "a-master-key-retired-too-early",
        "A rotation that was cut ends with the old master key thrown away while values need it.",
        (Patch("SqliteMasterKey.end_rotation", "self._sealed.opens_with(key.id)", "0"),),
        ("tests/durability/test_master_rotation.py::test_no_key_is_retired_while_a_value_needs_it",),
    ),
    Mutation(
        "jwt-without-an-end",
        "A signed name is believed for ever: one that leaked is a key that nobody can take back.",
        (Patch("UserJwtReader.claims", "now_s >= ends_s", "now_s >= ends_s + 10**9"),),
        (f"{_END_USERS}a_jwt_that_does_not_hold_is_refused",),
    ),
    Mutation(
        "jwt-says-how-it-is-checked",
        "The head of a token chooses the algorithm by which it is checked.",
        (Patch("_ALGORITHMS", '["HS256"]', '["HS256", "HS512"]'),),
        (f"{_END_USERS}a_jwt_that_does_not_hold_is_refused",),
    ),
    Mutation(
        "end-users-without-limits",
        "Users made on first sight have the limits of nobody once they have a row.",
        (Patch("stored_allowance", 'settings.end_users if row["made_by"] is not None else None', "None"),),
        (f"{_END_USERS}own_then_template_then_group_then_defaults",),
    ),
    Mutation(
        "users-without-end",
        "Each new name makes a row: a service that makes names up fills the disk.",
        (Patch("SqliteUsers.add_end_user", "count >= users_max", "count > users_max + 10**6"),),
        (f"{_END_USERS}no_more_than_users_max_are_made",),
    ),
    Mutation(
        "generations-of-others",
        "Whoever knows or guesses an id reads what another user's request cost.",
        (TextPatch("storage.sqlite.own_usage:_OWN", " AND user = ?1\nORDER", "\nORDER"),),
        (f"{_FIGURES}generation[False]",),
    ),
    Mutation(
        "models-of-others",
        "The list shows what the token may not use.",
        (Patch("_cut", "allowance.models is None", "True"),),
        ("tests/web/test_models.py::test_only_what_the_token_may_use",),
    ),
)
