"""Bugs to put in on purpose, and the tests that must fail with each.

Each stands for a failure that was seen in a proxy that people use, or for a mistake that is easy to make here. `old`
must stand exactly once in the file; the tests must pass without the change. Failures of parts that this program does
not have yet (balances of accounts that read zero) are not in the list.
"""

from typing import NamedTuple


class Patch(NamedTuple):
    """A change of one file of the tree."""

    file: str
    old: str
    new: str


class Mutation(NamedTuple):
    """failure: what went wrong elsewhere, or would go wrong here. tests: pytest's names of those that must fail."""

    name: str
    failure: str
    patches: tuple[Patch, ...]
    tests: tuple[str, ...]


_BURST = "tests/quotas/test_bursts.py::test_exactly_as_many_as_there_is_room_for"
_CLAMP = "tests/quotas/test_clamp.py::test_"
_KINDS = "tests/quotas/test_kinds.py::test_"
_REFUSALS = "tests/quotas/test_refusals.py::test_"
_SETTLING = "tests/quotas/test_settling.py::test_"
_UNPRICED = "tests/quotas/test_unpriced.py::test_"
_FIGURES = "tests/web/test_own_figures.py::test_"
_TYPED = "tests/wire/test_typed_meters.py::test_"
_METER = "tests/wire/test_meter.py::test_"
_STREAMS = "tests/streams/test_meters.py::test_"
_CATALOGUE = "tests/quotas/test_catalogue.py::test_"
_DATABASE = "tests/quotas/test_database_users.py::test_"
_REPEATED = "tests/once/test_once.py::test_"
_RELOAD = "tests/holds/test_reload.py::test_"
_EVERY_STEP = "tests/holds/test_every_step.py::test_nothing_stays_held"
_FINALITY = "tests/faults/test_finality.py::test_"
_TAKEN_BACK = "tests/targets/test_taken_back.py::test_"
_LEFT_OUT = "tests/targets/test_left_out.py::test_"
_END_USERS = "tests/identity/test_end_users.py::test_"

_LOOKED_UP = "tests/pipeline/test_looked_up.py::test_"
_GATEWAY = "tests/faults/test_gateway.py::test_"
_DEFAULTS = "tests/routes/test_defaults.py::test_"
_WORDS = "tests/policy/test_error_words.py::test_"
_BREAKER = "tests/policy/test_breaker.py::test_"

_ADMIT = "proxy/pipeline/admit.py"
_ALLOWANCE = "proxy/pipeline/allowance.py"
_APP = "proxy/app.py"
_BOUND = "proxy/policy/pricing/bound.py"
_DESK = "proxy/pipeline/desk.py"
_ONCE = "proxy/pipeline/once.py"
_QUOTA = "proxy/policy/quota.py"
_RECORD = "proxy/pipeline/record.py"
_RESERVE = "proxy/pipeline/reserve.py"
_SETTLE = "proxy/pipeline/settle.py"
_RECKONING = "proxy/wire/reckoning.py"

MUTATIONS: tuple[Mutation, ...] = (
    Mutation(
        "looked-up-with-the-first-key",
        "A bill is asked for with the provider's first key, whatever the attempt went out with.",
        (Patch("proxy/providers/generation.py", "**key.headers(provider.auth)}", "**provider.auth_headers()}"),),
        (f"{_LOOKED_UP}what_was_hung_up_on_is_asked_for_with_its_own_key",),
    ),
    Mutation(
        "keys-forgotten-by-a-restart",
        "The name of the key in the row is not read: after a restart the first key asks.",
        (
            Patch(
                "proxy/jobs/settle_pending.py",
                "named = [key for key in provider.keys if key.name == attempt.key]",
                "named = list(provider.keys[:1])",
            ),
        ),
        (f"{_LOOKED_UP}after_a_restart_the_key_is_found_by_its_name[second key]",),
    ),
    Mutation(
        "a-gateway-that-gave-up-is-free",
        "A status outside 2xx is free, also where somebody on the way only gave up waiting.",
        (Patch(_SETTLE, "heard.status is None or heard.unproven:", "heard.status is None:"),),
        (
            f"{_GATEWAY}u14_what_may_have_been_billed_is_not_sent_again",
            f"{_GATEWAY}u14_an_idempotency_key_is_billed_once",
        ),
    ),
    Mutation(
        "a-gateway-that-gave-up-is-asked-again",
        "After 502, 504 and 524 the same target gets the same request again.",
        (Patch("proxy/policy/fallback.py", "    if proves_nothing(reading):\n        return True\n", ""),),
        (f"{_GATEWAY}u14_what_may_have_been_billed_is_not_sent_again",),
    ),
    Mutation(
        "a-generation-beside-a-failure-is-not-asked-for",
        "A refusal that names a generation is free without asking.",
        (
            Patch(
                _SETTLE,
                "    if heard.generation_id is not None and terms.has_generations:\n"
                "        return False\n    return _said",
                "    return _said",
            ),
        ),
        (f"{_GATEWAY}u14_a_generation_beside_a_failure_is_looked_up",),
    ),
    Mutation(
        "an-empty-200-costs-the-worst-case",
        "An answer with neither a choice nor a count is charged as though it were one.",
        (Patch("proxy/pipeline/relay.py", "        elif says_nothing(message):", "        elif False:"),),
        ("tests/faults/test_gateway.py::test_u11_a_200_that_holds_nothing",),
    ),
    Mutation(
        "words-in-one-shape-only",
        "An error is read where it stands under `error` as an object, and nowhere else.",
        (Patch("proxy/wire/error.py", "    return _bare(message)\n", "    return None\n"),),
        (f"{_WORDS}words_in_a_200",),
    ),
    Mutation(
        "a-wait-before-the-next-target",
        "What has failed is tried again before those that were not asked yet.",
        (
            Patch(
                "proxy/pipeline/walk.py",
                "self._to_another(decision) or self._to_the_same() or",
                "self._to_the_same() or self._to_another(decision) or",
            ),
        ),
        (f"{_DEFAULTS}one_overloaded_model_costs_no_wait",),
    ),
    Mutation(
        "one-user-shuts-out-all",
        "A breaker counts what one user alone meets while others are served.",
        (
            Patch(
                "proxy/policy/breaker.py",
                "and self._witnesses.are_many(now_s):\n            self._open",
                "and True:\n            self._open",
            ),
        ),
        (
            f"{_DEFAULTS}one_users_requests_take_a_provider_from_nobody",
            f"{_BREAKER}what_one_user_meets_shuts_nobody_out_who_is_served",
        ),
    ),
    Mutation(
        "a-name-takes-a-key-from-all",
        "Words that the client wrote and the provider only repeats set a key aside.",
        (Patch("proxy/pipeline/walk.py", "self._is_clients(decision.phrase):", "False:"),),
        ("tests/faults/test_quoted.py::test_u13_words_of_a_request_put_no_key_aside[True]",),
    ),
    Mutation(
        "check-then-add",
        "The limit is checked in one step and the amount added in a later one: everyone in between passes.",
        (
            Patch(
                _RESERVE,
                "            admission = outcome\n",
                "            admission = outcome\n"
                "            from asyncio import sleep\n"
                "            from proxy.policy.quota import Amounts\n"
                "            parts.desk.cancel(call.id)\n"
                "            await sleep(0)\n"
                "            amounts = Amounts(admission.amount_pusd or 0, admission.tokens or 0)\n"
                "            parts.desk.reserve(call.id, wanted.allowance.scopes, wanted.now_ms, amounts, ())\n",
            ),
        ),
        (_BURST,),
    ),
    Mutation(
        "counted-after-the-answer",
        "Nothing is set aside: only what has ended counts, so that all that run at once pass.",
        (
            Patch(
                _QUOTA,
                "        return self._reserve(request_id, scopes, now_ms, amounts, running=True)",
                "        return self._reserve(request_id, scopes, now_ms, Amounts(0, 0), running=True)",
            ),
        ),
        (_BURST,),
    ),
    Mutation(
        "hold-shrunk-to-what-is-left",
        "A reservation above what is left is shrunk to it, and the request let in.",
        (
            Patch(
                _ADMIT,
                "    return _unaffordable(found, wanted, desk, snapshot)",
                "    if left:\n        return Admission(left, _tokens(wanted, None), None, lowered=False)\n"
                "    return _unaffordable(found, wanted, desk, snapshot)",
            ),
        ),
        (_BURST, f"{_CLAMP}never_below_256"),
    ),
    Mutation(
        "no-price-no-reservation",
        "A model whose price is not known passes a cost limit with nothing set aside.",
        (
            Patch(
                _RESERVE,
                "            raise unpriced(provider.name, model, allowance, parts, snapshot)",
                "            return None",
            ),
            Patch(
                _QUOTA,
                '            if index == COST and not amounts.is_priced and mode == "hard":',
                "            if False:",
            ),
        ),
        (f"{_UNPRICED}an_unknown_price_is_refused_under_a_hard_limit",),
    ),
    Mutation(
        "no-price-is-zero",
        "What the list does not price counts as free.",
        (
            Patch(
                "proxy/policy/pricing/catalogue.py",
                '        return None, "its price depends on the model that it picks"',
                "        return Price(0, 0), None",
            ),
        ),
        (f"{_UNPRICED}minus_one_is_no_price",),
    ),
    Mutation(
        "money-in-floats",
        "Totals are kept as floating point, and drift from the sum of the rows.",
        (
            Patch(
                "proxy/policy/account.py",
                "                settled[0] += cost_pusd\n",
                "                settled[0] = int((settled[0] / 1e12 + cost_pusd / 1e12) * 1e12)\n",
            ),
        ),
        (f"{_SETTLING}a_restart_changes_no_figure",),
    ),
    Mutation(
        "comparison-with-slop",
        "The limit is compared with a tolerance for rounding, and passed by it.",
        (
            Patch(
                _QUOTA,
                "left = amount - span.settled[COST]",
                "left = amount + 1 - span.settled[COST]",
            ),
            Patch(
                _QUOTA,
                "                if used + reserved + needed <= amount:",
                "                if used + reserved + needed <= amount + 1:",
            ),
        ),
        (f"{_CLAMP}never_below_256",),
    ),
    Mutation(
        "no-hold-for-the-rich",
        "Users with a hundred times the amount left skip the reservation.",
        (
            Patch(
                _QUOTA,
                "        return self._reserve(request_id, scopes, now_ms, amounts, running=True)",
                "        left = self.headroom_pusd(quotas, now_ms)\n"
                "        if left is not None and left >= 100 * amounts.cost_pusd:\n"
                "            amounts = amounts._replace(cost_pusd=0)\n"
                "        return self._reserve(request_id, scopes, now_ms, amounts, running=True)",
            ),
        ),
        (_BURST,),
    ),
    Mutation(
        "no-max-tokens-counts-nothing",
        "A request that names no max_tokens is taken for one without an answer.",
        (
            Patch(
                _BOUND,
                "    return greatest if asked is None else max(min(asked, greatest), 0)",
                "    return 0 if asked is None else max(min(asked, greatest), 0)",
            ),
        ),
        (f"{_CLAMP}a_client_that_names_no_maximum",),
    ),
    Mutation(
        "four-characters-a-token",
        "The prompt is estimated by its characters: too low for Chinese, code and base64.",
        (
            Patch(
                _BOUND,
                "    text_bytes = facts.size_bytes - facts.data_url_bytes\n",
                "    text_bytes = (facts.size_bytes - facts.data_url_bytes) // 4\n",
            ),
        ),
        (f"{_UNPRICED}every_byte_may_be_a_token",),
    ),
    Mutation(
        "images-cost-nothing",
        "Only text is counted, so that an image is free until the bill comes.",
        (Patch(_BOUND, "    if facts.images:\n", "    if False:\n"),),
        (f"{_UNPRICED}media_count_as_the_whole_context",),
    ),
    Mutation(
        "choices-count-once",
        "n answers are asked for and one is set aside.",
        (
            Patch(
                _BOUND,
                "output_ausd * facts.choices if facts.generates else 0",
                "output_ausd if facts.generates else 0",
            ),
        ),
        (f"{_CLAMP}more_choices_cost_more",),
    ),
    Mutation(
        "long-prompts-at-the-base-price",
        "Prices that rise with the length of the prompt are not looked at.",
        (Patch(_BOUND, "        if prompt > min_prompt_tokens:", "        if prompt < 0 > min_prompt_tokens:"),),
        (f"{_UNPRICED}prices_that_rise_with_the_prompt",),
    ),
    Mutation(
        "fees-without-a-price",
        "Web search and other extras pass a cost limit although no price of a token covers them.",
        (
            Patch(
                "proxy/policy/pricing/bound.py",
                "    names = list(facts.unpriced)\n",
                "    names: list[str] = []\n",
            ),
        ),
        (f"{_UNPRICED}what_no_price_bounds_is_refused_by_name",),
    ),
    Mutation(
        "all-of-it-for-the-first",
        "One request takes all that is left, and the second of the same turn is refused.",
        (
            Patch(
                _BOUND,
                "    chosen = max(_affordable(all_terms, headroom_pusd // 2, wanted), floor)",
                "    chosen = max(_affordable(all_terms, headroom_pusd, wanted), floor)",
            ),
        ),
        (f"{_CLAMP}two_calls_of_one_turn_both_pass",),
    ),
    Mutation(
        "lowered-without-a-word",
        "max_tokens is lowered and the client is not told.",
        (Patch(_RESERVE, "    told = admission.max_tokens if admission.lowered else None", "    told = None"),),
        (f"{_CLAMP}lowered_to_half_of_what_is_left",),
    ),
    Mutation(
        "reservation-lost-on-cancel",
        "A reservation leaks when the client goes: in time false refusals, and then limits are switched off.",
        (
            Patch(
                _RECORD,
                "            self._parts.desk.ended(id_, verdict.state, verdict.cost_pusd, self._quota_tokens)\n",
                "            if not self._call.gone:\n"
                "                self._parts.desk.ended(id_, verdict.state, verdict.cost_pusd, self._quota_tokens)\n",
            ),
        ),
        (f"{_SETTLING}a_cancelled_request_leaves_no_reservation",),
    ),
    Mutation(
        "reservation-lost-on-a-full-disk",
        "A reservation whose row could not be written is never given back.",
        (
            Patch(
                _RECORD,
                "            parts.desk.cancel(self._reservation.id)\n            return _UNSENT\n",
                "            return _UNSENT\n",
            ),
        ),
        (f"{_SETTLING}no_reservation_on_disk_no_request",),
    ),
    Mutation(
        "reservation-lost-on-an-odd-exception",
        "A reservation is given back after the errors that somebody thought of, and stays for ever after any other.",
        (
            Patch(
                "proxy/pipeline/run.py",
                "    finally:\n        call.when_gone(None)",
                "    except (TypeError, OverflowError):\n        raise\n    else:\n        call.when_gone(None)",
            ),
        ),
        (f"{_EVERY_STEP}[open]",),
    ),
    Mutation(
        "bytes-of-a-header-in-a-row",
        "A header in Latin-1 reaches the ledger as half a surrogate pair, and no row can hold it.",
        (Patch("proxy/pipeline/tags.py", "fit_text(header_text(value), _TEXT_CHARS_MAX)", "value[:_TEXT_CHARS_MAX]"),),
        ("tests/holds/test_text.py::test_a_header_in_either_encoding[X-Tollkeeper-Use-Case-use_case-Latin-1-lane]",),
    ),
    Mutation(
        "limits-of-the-arrival",
        "A request is judged by the limits of the moment its head came: a slow body passes a limit set since.",
        (
            Patch(
                "proxy/pipeline/run.py",
                "        snapshot = parts.live.current  # what was changed while the body came holds for it\n",
                "",
            ),
            Patch(
                _RESERVE,
                "        if parts.live.current is not in_force:\n            in_force",
                "        if False:\n            in_force",
            ),
        ),
        (f"{_RELOAD}the_first_limit_of_a_use_case_holds_for_all_that_is_not_in_yet",),
    ),
    Mutation(
        "uncounted-while-the-past-is-read",
        "A use case gets its first limit, and what is let in while its past is summed up never counts.",
        (
            Patch(
                _QUOTA,
                "        return (*scopes, scope) if scope in self._kept and",
                "        return (*scopes, scope) if False and",
            ),
        ),
        (f"{_RELOAD}what_is_let_in_while_the_past_is_read_counts",),
    ),
    Mutation(
        "half-a-reload",
        "A reload that is refused has changed the providers in force already.",
        (
            Patch(
                _APP,
                "        is_built = False\n        try:\n            snapshot = self._snapshot_of(",
                "        is_built = False\n"
                "        self._providers = providers\n"
                "        try:\n"
                "            snapshot = self._snapshot_of(",
            ),
        ),
        (f"{_RELOAD}a_refused_reload_leaves_everything_in_force[schema]",),
    ),
    Mutation(
        "one-bad-row-for-all",
        "A row that cannot be written takes all rows along that are written with it.",
        (
            Patch(
                "proxy/storage/writer.py",
                "            else:  # one bad operation must not take its neighbours along",
                "            elif operations:\n"
                "                self._resolve(operations, {waiter: (None, error) for _, waiter, _ in operations})\n"
                "            else:  # one bad operation must not take its neighbours along",
            ),
        ),
        ("tests/storage/test_ledger.py::test_a_row_that_cannot_be_written_does_not_take_its_neighbours_along",),
    ),
    Mutation(
        "a-dead-writer-is-ready",
        "The thread that writes has ended, and requests wait for it for ever.",
        (Patch("proxy/storage/writer.py", "            self._break(error)\n", ""),),
        ("tests/holds/test_watchers.py::test_it_stops_by_itself",),
    ),
    Mutation(
        "crash-leaves-it-open",
        "What a crash left open is never settled: it stays set aside for ever.",
        (
            Patch(
                "proxy/jobs/settle_pending.py",
                "        for row in left:\n            self._begin(row.id)\n",
                "",
            ),
        ),
        (f"{_SETTLING}what_a_kill_leaves_counts_from_the_first_moment",),
    ),
    Mutation(
        "crash-frees-it",
        "What was open when the process died is forgotten at the next start.",
        (
            Patch(
                "proxy/jobs/settle_pending.py",
                'attempt.outcome == "open" and self._live.current.settings.ledger.crash_reservation == "release":',
                'attempt.outcome == "open":',
            ),
        ),
        (f"{_SETTLING}what_a_kill_leaves_counts_from_the_first_moment",),
    ),
    Mutation(
        "crash-not-counted-at-start",
        "Open rows count again only once somebody has looked them up: until then there is room that is not there.",
        (
            Patch(
                _APP,
                "book.load_open(row.id, scopes, row.started_ms, row.held_pusd, row.reserved_tokens or 0)",
                "book.load_open(row.id, scopes, row.started_ms, 0, 0)",
            ),
        ),
        (f"{_SETTLING}a_figure_that_comes_late",),
    ),
    Mutation(
        "limiter-never-registered",
        "A kind of limit is read, checked and documented, and nobody asks it.",
        (
            Patch(
                _ALLOWANCE,
                '_KINDS = ("cost", "requests", "tokens", "concurrency")',
                '_KINDS = ("cost", "requests", "concurrency")',
            ),
        ),
        (f"{_KINDS}users[tokens]",),
    ),
    Mutation(
        "group-limits-not-asked",
        "The limit of a group holds only for users without limits of their own, or not at all.",
        (
            Patch(
                _ALLOWANCE,
                '        *_quotas(f"group:{group}", group_settings.limits.all if group_settings else ()),\n',
                "",
            ),
        ),
        (f"{_KINDS}groups[cost]",),
    ),
    Mutation(
        "database-users-without-limits",
        "Users made at run time get a token and no limits.",
        (
            Patch(
                "proxy/pipeline/directory.py",
                "stored_allowance(settings, row) if own is None else build_allowance(settings, name, group, own)",
                "build_allowance(settings, name, group, own)",
            ),
        ),
        (f"{_DATABASE}the_same_limits",),
    ),
    Mutation(
        "anybody-names-anybody",
        "A header that any client can write names the user: whoever knows a name spends that user's money.",
        (
            Patch(
                "proxy/pipeline/end_users.py", "self._written(headers) if trusted else None", "self._written(headers)"
            ),
        ),
        (f"{_END_USERS}a_header_from_any_other_token_is_ignored_and_stays_here",),
    ),
    Mutation(
        "jwt-without-an-end",
        "A signed name is believed for ever: one that leaked is a key that nobody can take back.",
        (Patch("proxy/wire/user_jwt.py", "        if now_s >= ends_s:", "        if now_s >= ends_s + 10**9:"),),
        (f"{_END_USERS}a_jwt_that_does_not_hold_is_refused",),
    ),
    Mutation(
        "jwt-says-how-it-is-checked",
        "The head of a token chooses the algorithm by which it is checked.",
        (Patch("proxy/wire/user_jwt.py", '_ALGORITHMS = ["HS256"]', '_ALGORITHMS = ["HS256", "HS512"]'),),
        (f"{_END_USERS}a_jwt_that_does_not_hold_is_refused",),
    ),
    Mutation(
        "end-users-without-limits",
        "Users made on first sight have the limits of nobody once they have a row.",
        (
            Patch(
                "proxy/pipeline/people.py",
                'settings.end_users if row["made_by"] is not None else None\n    own',
                "None\n    own",
            ),
        ),
        (f"{_END_USERS}own_then_template_then_group_then_defaults",),
    ),
    Mutation(
        "users-without-end",
        "Each new name makes a row: a service that makes names up fills the disk.",
        (Patch("proxy/storage/users.py", "    if count >= users_max:", "    if count > users_max + 10**6:"),),
        (f"{_END_USERS}no_more_than_users_max_are_made",),
    ),
    Mutation(
        "repeated-at-once",
        "A key is looked up only when its request is over: what comes meanwhile is sent and billed again.",
        (
            Patch(
                _ONCE,
                "    while (claim := parts.claims.find(hashes)) is not None:",
                "    while (claim := None) is not None:",
            ),
        ),
        (f"{_REPEATED}fifty_at_once_are_one[True]",),
    ),
    Mutation(
        "keys-in-memory",
        "A restart forgets which keys came before.",
        (Patch(_RECORD, "            if call.claim is not None:\n", "            if False:\n"),),
        (f"{_REPEATED}what_is_over_is_not_done_again[True-False]",),
    ),
    Mutation(
        "retry-of-what-may-be-billed",
        "A failure frees the key, also one that the provider may have billed.",
        (Patch("proxy/policy/repeat.py", '"anew" if failed and is_free else "over"', '"anew" if failed else "over"'),),
        (f"{_REPEATED}what_failed_and_may_be_billed_does_not[silent]",),
    ),
    Mutation(
        "a-failure-keeps-the-key",
        "An SDK that tries again with the same key is told of its failure for a day.",
        (Patch("proxy/policy/repeat.py", '"anew" if failed and is_free else "over"', '"over"'),),
        (f"{_REPEATED}what_failed_and_cost_nothing_runs_anew[overloaded-False]",),
    ),
    Mutation(
        "keys-of-everybody",
        "Two users who take the same key get each other's request.",
        (Patch(_ONCE, 'whose = f"{len(user)}:{user}{key}".encode()', "whose = key.encode()"),),
        (f"{_REPEATED}a_key_is_the_users_own",),
    ),
    Mutation(
        "missing-cost-is-zero",
        "A row without a cost is summed as nothing.",
        (
            Patch(
                _SETTLE,
                '    return Verdict("settled", reserved_pusd, source, frozenset(flags))',
                '    return Verdict("settled", 0, source, frozenset(flags))',
            ),
        ),
        (f"{_SETTLING}a_figure_that_never_comes",),
    ),
    Mutation(
        "spend-queued-in-memory",
        "Rows wait in memory for the next flush while the client has its answer; a stop loses them.",
        (
            Patch(
                _RECORD,
                "            written = parts.ledger.end(end, self._written)\n",
                "            asyncio.get_running_loop().call_later(3, parts.ledger.end, end, self._written)\n"
                "            return verdict\n"
                "            written = parts.ledger.end(end, self._written)\n",
            ),
        ),
        (f"{_SETTLING}a_bill_above_the_worst_case",),
    ),
    Mutation(
        "counters-lost-on-restart",
        "Counters live in memory and begin at zero after each deploy.",
        (
            Patch(_APP, "book.load_hours(totals.hours)", "pass"),
            Patch(_APP, "book.load_rows(totals.rows)", "pass"),
        ),
        (f"{_KINDS}users[cost]",),
    ),
    Mutation(
        "hour-counted-twice-on-restart",
        "The rebuild takes an hour from the roll-up and from its rows.",
        (
            Patch(
                "proxy/storage/totals.py",
                "connection.execute(statements.QUOTA_HOURS, (fine.since_ms, use_case))",
                "connection.execute(statements.QUOTA_HOURS, (1 << 60, use_case))",
            ),
        ),
        (f"{_SETTLING}a_restart_changes_no_figure",),
    ),
    Mutation(
        "hang-up-is-free",
        "A client that closes before the usage comes pays nothing: free answers for whoever wants them.",
        (
            Patch(
                _SETTLE,
                "    flags = heard.flags\n",
                "    flags = heard.flags\n"
                "    if HUNG_UP in flags and (usage is None or usage.cost_pusd is None):\n"
                '        return Verdict("released", 0, "none", heard.flags)\n',
            ),
        ),
        (f"{_SETTLING}whoever_hangs_up_pays",),
    ),
    Mutation(
        "no-look-up",
        "What was broken off is guessed, though the provider would tell what it charged.",
        (
            Patch(
                _SETTLE,
                "    if terms.has_generations and heard.generation_id is not None:\n",
                "    if False:\n",
            ),
        ),
        (f"{_SETTLING}a_figure_that_comes_late",),
    ),
    Mutation(
        "pending-frees-the-hold",
        "While the figure is looked up the money counts as free.",
        (Patch(_DESK, "            self.book.stop_running(id_)", "            self.book.release(id_)"),),
        (f"{_SETTLING}a_figure_that_comes_late",),
    ),
    Mutation(
        "price-of-the-requested-model",
        "The limit is asked with the (free) model that was named, and the paid fallback answers.",
        (
            Patch(
                _RESERVE,
                "for target in route.targets if target.static is None]",
                "for target in route.targets[:1] if target.static is None]",
            ),
        ),
        (f"{_UNPRICED}a_free_model_with_a_paid_fallback_is_paid",),
    ),
    Mutation(
        "price-of-the-first-target",
        "Of a route only the first target is priced.",
        (
            Patch(
                _RESERVE,
                "for target in route.targets if target.static is None]",
                "for target in route.targets[:1] if target.static is None]",
            ),
        ),
        (f"{_SETTLING}the_dearest_target_of_a_preset_is_set_aside",),
    ),
    Mutation(
        "blind-retry",
        "After a break in the middle of an exchange the next target is asked without money for both.",
        (
            Patch(
                _RECORD,
                "refusal = extend(self._reservation, more, self._parts, self._snapshot)",
                "refusal = None",
            ),
        ),
        (f"{_SETTLING}no_second_try_without_money_for_both",),
    ),
    Mutation(
        "only-the-last-attempt",
        "A request that moved on is booked at what its last attempt cost.",
        (
            Patch(
                "proxy/pipeline/total.py",
                "    cost_pusd = sum(verdict.cost_pusd or 0 for verdict in known)\n",
                "    cost_pusd = known[-1].cost_pusd or 0\n",
            ),
        ),
        (f"{_SETTLING}a_second_try_after_one_that_may_be_billed_reserves_anew",),
    ),
    Mutation(
        "windows-in-utc",
        "Days begin at midnight in UTC whatever the time zone says.",
        (Patch(_APP, "book = QuotaBook(zone)", 'book = QuotaBook(ZoneInfo("UTC"))'),),
        (f"{_KINDS}windows_of_the_zone", f"{_REFUSALS}the_reset_is_told_in_the_zone_of_the_windows"),
    ),
    Mutation(
        "a-month-of-thirty-days",
        "A month is thirty days from its first.",
        (
            Patch(
                "proxy/policy/window.py",
                "        return (first + timedelta(days=31)).replace(day=1)",
                "        return first + timedelta(days=30)",
            ),
        ),
        (f"{_KINDS}windows_of_the_zone",),
    ),
    Mutation(
        "clock-that-leaps",
        "A wall clock that leaps opens a new window, and with it a new budget.",
        (
            Patch(
                "proxy/policy/guarded_clock.py",
                "        return self._guard.now_ms(self._clock.now_ms(), self.monotonic_s())",
                "        return self._clock.now_ms()",
            ),
        ),
        (f"{_KINDS}a_clock_that_leaps_frees_nothing",),
    ),
    Mutation(
        "reset-by-a-job",
        "Totals are set to zero now and then instead of being looked up by their window.",
        (
            Patch(
                _QUOTA,
                "            account.fold(now_ms, self.zone, self._horizon_ms)",
                "            account.__init__(account.scope)",
            ),
        ),
        (f"{_KINDS}users[cost]",),
    ),
    Mutation(
        "edit-zeroes-the-spend",
        "Changing a limit sets what was spent to zero.",
        (
            Patch(
                _APP,
                '        """Build a whole snapshot from settings and the users in the database."""\n',
                '        """Build a whole snapshot from settings and the users in the database."""\n'
                '        if hasattr(self, "parts"):\n'
                "            self.parts.desk.book._accounts.clear()\n"
                "            self.parts.desk.book._accounts_of.clear()\n",
            ),
        ),
        (f"{_KINDS}users[cost]", f"{_DATABASE}a_change_keeps_what_was_spent"),
    ),
    Mutation(
        "first-usage-wins",
        "Usage of the first chunk, a preview, is booked.",
        (
            Patch(
                "proxy/wire/meter.py",
                "            self.usage = usage if self.usage is None else later(self.usage, usage)\n",
                "            self.usage = self.usage or usage\n",
            ),
        ),
        (f"{_SETTLING}the_last_usage_counts",),
    ),
    Mutation(
        "usage-from-the-last-chunk-only",
        "Usage is looked for in the chunk that ends the answer, and missed where it stands elsewhere.",
        (
            Patch(
                "proxy/wire/meter.py",
                "        if usage is not None:\n",
                "        if usage is not None and self._ends(choices_of(message)):\n",
            ),
        ),
        (f"{_SETTLING}the_last_usage_counts",),
    ),
    Mutation(
        "settled-twice",
        "A request that ended is ended again, and counts twice in the roll-up.",
        (
            Patch(_RECORD, "        if self.verdict is not None:\n            return self.verdict\n", ""),
            Patch(
                "proxy/pipeline/run.py",
                "            if booking.verdict is None:\n                await booking.end(status, error)\n",
                "            await booking.end(status, error)\n",
            ),
            Patch("proxy/storage/statements.py", "    \"requests.state IN ('open', 'pending')\",\n", '    "TRUE",\n'),
        ),
        (f"{_SETTLING}a_restart_changes_no_figure",),
    ),
    Mutation(
        "bill-capped-at-the-reservation",
        "What exceeds the worst case is hidden by booking the worst case.",
        (
            Patch(
                _SETTLE,
                '    return Verdict("settled", cost_pusd, source, flags)',
                '    return Verdict("settled", min(cost_pusd, reserved_pusd or 0), source, flags)',
            ),
        ),
        (f"{_SETTLING}a_bill_above_the_worst_case",),
    ),
    Mutation(
        "wild-prices-taken",
        "A price list that changed its unit, or a model a thousand times cheaper, is taken as it comes.",
        (
            Patch(
                "proxy/providers/catalogue.py",
                "                fresh, moves = accept_refresh(listing.prices, fresh)",
                "                accept_refresh",
            ),
        ),
        (
            f"{_CATALOGUE}prices_that_all_move_are_a_change_of_unit",
            f"{_CATALOGUE}a_fall_does_not_count_until_it_is_confirmed",
        ),
    ),
    Mutation(
        "broken-list-empties-the-prices",
        "A list that cannot be read replaces the good one.",
        (
            Patch(
                "proxy/providers/catalogue.py",
                "            listing.problem = str(error)\n            return\n",
                "            listing.problem, listing.prices = str(error), _NO_PRICES\n            return\n",
            ),
        ),
        (f"{_CATALOGUE}a_broken_list_changes_nothing",),
    ),
    Mutation(
        "no-last-good-copy",
        "A restart while the provider is away knows no price.",
        (Patch(_APP, "        await self.catalogue.load(self.live.current.providers)\n", ""),),
        (f"{_CATALOGUE}the_last_good_copy_is_there_after_a_restart_without_the_provider",),
    ),
    Mutation(
        "curable-refusal-first",
        "Of several refusals one is told that waiting would cure, and the request waits in vain.",
        (
            Patch(
                _QUOTA,
                "key=lambda refused: (refused.only_reservations_in_way, refusal_order(refused.quota))",
                "key=lambda refused: refusal_order(refused.quota)",
            ),
        ),
        (f"{_REFUSALS}what_waiting_cannot_cure_is_told_at_once[limit0]",),
    ),
    Mutation(
        "generations-of-others",
        "Whoever knows or guesses an id reads what another user's request cost.",
        (Patch("proxy/storage/own_request.py", " AND user = ?1\nORDER", "\nORDER"),),
        (f"{_FIGURES}generation[False]",),
    ),
    Mutation(
        "models-of-others",
        "The list shows what the token may not use.",
        (Patch("proxy/web/shelf.py", "models if allowance.models is None else", "models if True else"),),
        ("tests/web/test_models.py::test_only_what_the_token_may_use",),
    ),
    Mutation(
        "cached-tokens-left-out",
        "Anthropic's cached tokens stand beside the input, and are not counted.",
        (Patch(_RECKONING, "        self.is_beside = shape.is_beside or (", "        self.is_beside = False and ("),),
        (f"{_TYPED}counts_of_a_message_are_laid_over_each_other",),
    ),
    Mutation(
        "another-endpoints-maximum",
        "A maximum that the provider does not read bounds the answer.",
        (
            Patch(
                "proxy/policy/pricing/facts.py",
                "    for key in MAXIMUM[endpoint]:\n",
                "    for key in [key for keys in MAXIMUM.values() for key in keys]:\n",
            ),
        ),
        ("tests/policy/test_pricing.py::test_only_the_endpoints_own_maximum_bounds_the_answer[messages-5]",),
    ),
    Mutation(
        "end-of-a-response-before-its-settlement",
        "The event that ends a stream of typed events passes before the settlement is on disk.",
        (
            Patch(
                "proxy/wire/typed_meter.py",
                "        self._hold(chunk[end_at:])\n        given = chunk[:end_at]\n",
                "        given = chunk\n",
            ),
        ),
        (f"{_TYPED}whole",),
    ),
    Mutation(
        "end-of-a-stream-by-a-fragment",
        "The end of a line is taken for a line: a quote of the last event, cut in the right place, ends the answer.",
        (
            Patch(
                "proxy/wire/sse.py",
                "    return window[at : at + _DONE_LINE_BYTES]\n",
                "    return window[-_DONE_LINE_BYTES:]\n",
            ),
        ),
        (f"{_STREAMS}nothing_is_held_but_the_end", f"{_STREAMS}a_quote_of_the_end_in_each_piece"),
    ),
    Mutation(
        "content-behind-the-end-is-dropped",
        "What follows data: [DONE] is kept for a second and then forgotten, content or not.",
        (Patch("proxy/wire/meter.py", "                self.goes_on = self._read_done\n", "                pass\n"),),
        (f"{_STREAMS}content_behind_the_end_goes_on",),
    ),
    Mutation(
        "a-chunk-goes-with-its-usage",
        "A chunk without a choice is dropped for its usage, whatever else it says.",
        (
            Patch(
                "proxy/wire/hide.py",
                "    return told and not any(\n        member.key not in _ENVELOPE",
                "    return told and not any(\n        member.key in ('choices', 'error')",
            ),
        ),
        (f"{_METER}nothing_but_the_usage_is_lost",),
    ),
    Mutation(
        "half-a-line-end-stays",
        "Of a CR LF that comes in two pieces behind an event that is left out, the LF passes.",
        (
            Patch(
                "proxy/wire/meter.py", '                chunk = chunk.removeprefix(b"\\n")\n', "                pass\n"
            ),
        ),
        (f"{_METER}no_line_end_is_lost_or_added",),
    ),
    Mutation(
        "a-key-in-two-pieces",
        "A key that a provider quotes in an event of an error reaches the user where the event comes in two pieces.",
        (
            Patch(
                "proxy/wire/redact.py",
                "        if tells and len(begun) <= _HELD_MAX_BYTES:\n",
                "        if False:\n",
            ),
        ),
        ("tests/wire/test_redact.py::test_an_error_never_tells_the_key[False-an object-chat/completions]",),
    ),
    Mutation(
        "a-key-in-a-refusal",
        "The body of a refusal is passed on with the key that it quotes.",
        (
            Patch(
                "proxy/pipeline/attempt.py",
                "    body = redacted(raw, attempt.key.quoted_bytes)\n",
                "    body = raw\n",
            ),
        ),
        ("tests/streams/test_keys.py::test_no_answer_tells_the_key",),
    ),
    Mutation(
        "an-answer-that-a-page-cannot-read",
        "Pages that may call get no Access-Control header with a refusal, and see a network error in its place.",
        (Patch("proxy/web/lane.py", "{**call.told(), **(call.client.said.cors or {})}", "call.told()"),),
        ("tests/web/test_cors.py::test_every_answer_can_be_read[lane-no token]",),
    ),
    Mutation(
        "chunks-of-an-older-version",
        "A body in chunks over HTTP/1.0 is served, and the server before this one takes its end for a next request.",
        (
            Patch(
                "proxy/web/gate.py", "    if request.version == HttpVersion10:\n", "    if request.version is None:\n"
            ),
        ),
        ("tests/web/test_bad_input.py::test_chunks_of_an_older_version",),
    ),
    Mutation(
        "a-slash-too-many",
        "A base URL with a slash at its end is answered with 404.",
        (Patch("proxy/web/routes.py", "        path = canonical_path(path)\n", "        pass\n"),),
        ("tests/web/test_bad_input.py::test_other_names_of_the_path[general-/v1//chat/completions]",),
    ),
    Mutation(
        "figures-for-everybody",
        "Whoever reaches the port through another server reads the names of providers and keys.",
        (Patch("proxy/web/exposure.py", "or any(name in headers for name in _FORWARDED)", "or False"),),
        ("tests/web/test_exposure.py::test_modes[loopback-200-403]",),
    ),
    Mutation(
        "a-list-refused-for-one-entry",
        "One entry of a list of models without an id holds the whole list back.",
        (
            Patch(
                "proxy/policy/model_list.py",
                '            flaws.append(f"entry {place} has no id")\n            continue\n',
                '            raise ModelListError(f"entry {place} has no id")\n',
            ),
        ),
        ("tests/quotas/test_catalogue.py::test_a_flaw_costs_nobody_else_anything[None]",),
    ),
    Mutation(
        "the-cheaper-of-two-prices",
        "Of a model that is listed twice the price that comes first counts, and less is held than it may cost.",
        (
            Patch(
                "proxy/policy/pricing/catalogue.py",
                "replace(first, price=_dearer(second.price, first.price))",
                "first",
            ),
        ),
        ("tests/quotas/test_catalogue.py::test_a_model_that_is_listed_twice",),
    ),
    Mutation(
        "a-proxy-that-is-not-used",
        "The variables that name a proxy are ignored, and no provider is reached from behind one.",
        (Patch("proxy/config/load.py", "                self._proxy_from_environment(name, providers[name])\n", ""),),
        ("tests/config/test_outbound.py::test_the_setting_wins",),
    ),
    Mutation(
        "a-proxys-refusal-called-the-providers",
        "What a proxy answers for want of a password is handed on as though the provider had said it.",
        (
            Patch(
                "proxy/providers/pool.py",
                "        if self._asks_proxy and answer.status == 407:\n",
                "        if self._asks_proxy and answer.status == 999:\n",
            ),
        ),
        ("tests/providers/test_transport_proxy.py::test_a_wrong_password[asyncio-pool-http]",),
    ),
    Mutation(
        "one-way-to-send-a-key",
        "Every provider is sent a bearer: Anthropic and Azure refuse all keys.",
        (Patch("proxy/providers/key.py", 'if auth == "bearer" else {auth: key}', "if auth else {auth: key}"),),
        ("tests/providers/test_auth.py::test_every_key_goes_out_as_the_provider_wants_it[x-api-key]",),
    ),
    Mutation(
        "reasoning-beside-is-free",
        "Thoughts that are counted beside the answer, told by the total alone, are left out: a bill 48 times too low.",
        (
            Patch(
                _RECKONING,
                "    total = told.total\n    if total is None",
                "    total = usual.total\n    if total is None",
            ),
        ),
        ("tests/wire/test_reckoning.py::test_a_shape_without_a_doubt[xAI]",),
    ),
    Mutation(
        "cache-writes-at-the-price-of-input",
        "A configured price of what is written to a cache is never charged.",
        (Patch("proxy/policy/pricing/price.py", "        (short_ausd, short),\n", "        (input_ausd, short),\n"),),
        ("tests/policy/test_pricing.py::test_each_class_at_its_own_price[cache_write_tokens]",),
    ),
    Mutation(
        "zeros-are-believed",
        "A provider that counts nothing is booked at nothing, whatever it wrote.",
        (Patch(_SETTLE, "            return ZERO\n", "            return None\n"),),
        (f"{_FINALITY}zeros_in_a_plain_answer[plain]",),
    ),
    Mutation(
        "a-usage-on-the-way-is-the-bill",
        "A count in mid-stream is booked, and what came after it is not.",
        (
            Patch(
                "proxy/wire/meter.py",
                "                self.usage_is_whole = self.usage_is_last = False\n",
                "                pass\n",
            ),
        ),
        (f"{_FINALITY}a_stream_whose_usage_is_not_the_last_word[in mid-stream, then [DONE]-plain]",),
    ),
    Mutation(
        "a-smaller-count-takes-over",
        "The last count holds, also where it is smaller than one before it, or zero.",
        (Patch("proxy/wire/usage.py", "else max(old, new))", "else new)"),),
        ("tests/wire/test_reckoning.py::test_a_later_usage[before2-now2-counted2-True]",),
    ),
    Mutation(
        "the-start-of-a-message-is-its-bill",
        "Where no event counts what was written, the one token of message_start is booked.",
        (
            Patch("proxy/wire/messages.py", "            self.usage_is_whole = False\n", ""),
            Patch(
                "proxy/wire/typed_meter.py",
                "        self.content_seen = True\n        self.usage_is_whole = self.usage_is_last = False\n",
                "        self.content_seen = True\n",
            ),
        ),
        (f"{_FINALITY}the_counts_of_a_message[message_stop alone]",),
    ),
    Mutation(
        "a-bound-is-dropped",
        "A maximum that money rests on is left out because the server does not know its name.",
        (
            Patch(
                "proxy/pipeline/rooms.py",
                "    if limit is None or (",
                "    if limit is not None and (",
            ),
        ),
        (f"{_TAKEN_BACK}a_bound_that_money_rests_on_is_never_dropped",),
    ),
    Mutation(
        "a-dropped-bound-is-not-held-for",
        "The maximum is left out, and what the model may write without it is not set aside.",
        (Patch("proxy/pipeline/walk.py", "raises=change.sets_bound", "raises=False"),),
        (f"{_TAKEN_BACK}the_models_own_maximum_is_held_for_where_no_bound_is_taken",),
    ),
    Mutation(
        "the-other-name-loses-the-figure",
        "A maximum goes under its other name without the figure that was reserved for.",
        (
            Patch(
                "proxy/pipeline/suit.py",
                "found = {there if key == name else key: value for key, value in found.items()}",
                "found = {key: value for key, value in found.items() if key != name}",
            ),
        ),
        (f"{_TAKEN_BACK}a_bound_has_two_names",),
    ),
    Mutation(
        "a-lowered-bound-is-left-out",
        "Where the prompt may fill the context, the maximum that a limit lowered is left out.",
        (
            Patch(
                "proxy/policy/pricing/bound.py",
                "    if price.output_limit_tokens is not None and tokens >= price.output_limit_tokens:\n",
                "    if price.output_limit_tokens is not None:\n",
            ),
        ),
        ("tests/policy/test_pricing.py::test_a_bound_leaves_room_for_the_prompt",),
    ),
    Mutation(
        "a-refusal-with-an-id-is-sent-again",
        "A request that may be billed is sent a second time, because its refusal names a field.",
        (
            Patch(
                "proxy/pipeline/attempt.py",
                "UNSUITED) or heard.generation_id is not None or",
                "UNSUITED) or",
            ),
        ),
        (f"{_TAKEN_BACK}what_may_be_billed_is_not_sent_again",),
    ),
    Mutation(
        "one-unpriced-target-refuses-all",
        "One target without a price makes a whole preset refuse everybody who has a limit.",
        (
            Patch(
                "proxy/pipeline/narrow.py",
                "            left_out.append(LeftOut(target, reason))\n",
                "            return route, ()\n",
            ),
        ),
        (f"{_LEFT_OUT}a_target_without_a_price",),
    ),
    Mutation(
        "an-unpriced-target-is-asked",
        "A target without a price is kept where others have one.",
        (
            Patch(
                "proxy/pipeline/narrow.py",
                '            return "no price" if model == target.model else f"no price of {model}"\n',
                "            return None\n",
            ),
        ),
        (f"{_LEFT_OUT}a_target_without_a_price",),
    ),
    Mutation(
        "soft-limits-look-back-only",
        "A soft limit lets everything in until it is spent, whatever it will cost.",
        (Patch(_ADMIT, "_likely(wanted) if allowance.has_soft else (0, 0)", "(0, 0)"),),
        (f"{_LEFT_OUT}a_soft_limit_asks_what_it_is_thought_to_come_to",),
    ),
    Mutation(
        "a-budget-of-gemini-is-cut",
        "A maximum is lowered below a thinking budget that is named in another way than Anthropic's.",
        (Patch("proxy/policy/pricing/facts.py", '"extra_body", "google", "thinking_config", "thinkingConfig", ', ""),),
        ("tests/policy/test_pricing.py::test_a_thinking_budget_in_every_form",),
    ),
    Mutation(
        "a-turned-down-answer-is-free",
        "An answer that a check turned down is let go where the provider has no record of it, as though it had failed.",
        (Patch("proxy/jobs/settle_pending.py", "if was_answer and any(", "if was_answer and not any("),),
        ("tests/routes/test_settings.py::test_an_answer_that_was_turned_down_is_not_free_where_nobody_has_its_record",),
    ),
    Mutation(
        "only-the-longest-choice-is-counted",
        "Of several choices that tell their own usage one after the other only the longest is booked.",
        (
            Patch(
                "proxy/wire/meter.py", "output_tokens=sum(written), reasoning", "output_tokens=max(written), reasoning"
            ),
        ),
        ("tests/wire/test_meter.py::test_choices_that_tell_their_own_usage_one_after_the_other",),
    ),
    Mutation(
        "a-raised-bound-is-not-held",
        "A bound that a target makes the proxy raise is not held against limits on tokens.",
        (Patch("proxy/pipeline/record.py", "first.tokens + raised_tokens(", "first.tokens + 0 * raised_tokens("),),
        ("tests/targets/test_taken_back.py::test_a_bound_that_has_to_be_raised_counts_for_limits_on_tokens",),
    ),
)
