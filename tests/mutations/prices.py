"""Bugs of prices: what a request may cost before it is sent, and the lists that say so."""

from typing import Final

from tests.mutations.mutation import Mutation, Patch

_CLAMP = "tests/quotas/test_clamp.py::test_"
_SETTLING = "tests/quotas/test_settling.py::test_"
_UNPRICED = "tests/quotas/test_unpriced.py::test_"
_CATALOGUE = "tests/quotas/test_catalogue.py::test_"
_LEFT_OUT = "tests/targets/test_left_out.py::test_"

_REGISTRY = "tests/routes/test_registry.py::test_"

MUTATIONS: Final = (
    Mutation(
        "request-price-not-booked",
        "What the operator asks for each request is held, and let go when the provider tells its cost.",
        (Patch("Recorder._settle", "if rules is None: ...", "if True: ..."),),
        (f"{_REGISTRY}the_price_of_a_request_is_held_and_booked_on_top",),
    ),
    Mutation(
        "request-price-not-looked-up",
        "A cost that is looked up later is booked without what the operator asks for each request.",
        (Patch("LookupPlace.request_pusd", "0 if rules is None else rules.request_pusd(model)", "0"),),
        (f"{_REGISTRY}the_price_of_a_request_is_looked_up_with_the_rest",),
    ),
    Mutation(
        "request-price-not-held",
        "The worst case leaves out what the operator asks for each request, and requests at once overspend.",
        (Patch("ModelLists._price", "with_fee(price, rules.request_pusd(model))", "price"),),
        (f"{_REGISTRY}the_price_of_a_request_is_held_and_booked_on_top",),
    ),
    Mutation(
        "disabled-model-passes",
        "A model that the operator has disabled is left out of lists, and answers whoever knows its name.",
        (Patch("TargetsByName.__missing__", "if off is not None: ...", "if False: ..."),),
        (f"{_REGISTRY}what_the_file_disables_is_refused_by_name_and_left_out",),
    ),
    Mutation(
        "preferences-of-those-who-may-not",
        "What a user has set stays in force after the operator has taken that right back.",
        (Patch("build_allowance", "preferred is not None and may_prefer", "preferred is not None"),),
        ("tests/web/test_preferences.py::test_what_was_set_holds_no_longer_than_the_operator_lets",),
    ),
    Mutation(
        "no-price-no-reservation",
        "A model whose price is not known passes a cost limit with nothing set aside.",
        (
            Patch("_found_prices", "raise unpriced(context, provider.name, model, services)", "return None"),
            Patch("LimitWindows.refusals", 'limit.quota.mode == "hard"', "False"),
        ),
        (f"{_UNPRICED}an_unknown_price_is_refused_under_a_hard_limit",),
    ),
    Mutation(
        "no-price-is-zero",
        "What the list does not price counts as free.",
        (Patch("parse_openrouter_model", 'None, "its price depends on the model that it picks"', "Price(0, 0), None"),),
        (f"{_UNPRICED}minus_one_is_no_price",),
    ),
    Mutation(
        "no-max-tokens-counts-nothing",
        "A request that names no max_tokens is taken for one without an answer.",
        (
            Patch(
                "policy.pricing.worst_case:_natural_tokens",
                "greatest if asked is None else max(asked, 0)",
                "(None if greatest is None else 0) if asked is None else max(asked, 0)",
            ),
        ),
        (f"{_CLAMP}a_client_that_names_no_maximum",),
    ),
    Mutation(
        "four-characters-a-token",
        "The prompt is estimated by its characters: too low for Chinese, code and base64.",
        (
            Patch(
                "input_bound_tokens",
                "facts.size_bytes - facts.data_url_bytes",
                "(facts.size_bytes - facts.data_url_bytes) // 4",
            ),
        ),
        (f"{_UNPRICED}every_byte_may_be_a_token",),
    ),
    Mutation(
        "images-cost-nothing",
        "Only text is counted, so that an image is free until the bill comes.",
        (Patch("input_bound_tokens", "if facts.images: ...", "if False: ..."),),
        (f"{_UNPRICED}media_count_as_the_whole_context",),
    ),
    Mutation(
        "choices-count-once",
        "n answers are asked for and one is set aside.",
        (Patch("_terms", "output_ausd * facts.choices", "output_ausd"),),
        (f"{_CLAMP}more_choices_cost_more",),
    ),
    Mutation(
        "long-prompts-at-the-base-price",
        "Prices that rise with the length of the prompt are not looked at.",
        (Patch("_terms", "prompt > min_prompt_tokens", "prompt < 0 > min_prompt_tokens"),),
        (f"{_UNPRICED}prices_that_rise_with_the_prompt",),
    ),
    Mutation(
        "fees-without-a-price",
        "Web search and other extras pass a cost limit although no price of a token covers them.",
        (Patch("unpriced_features", "names = list(facts.unpriced)", "names: list[str] = []"),),
        (f"{_UNPRICED}what_no_price_bounds_is_refused_by_name",),
    ),
    Mutation(
        "price-of-the-requested-model",
        "The limit is asked with the (free) model that was named, and the paid fallback answers.",
        (
            Patch(
                "_priced",
                "[(target.provider, target.model) for target in route.targets if target.static is None]",
                "[(target.provider, target.model) for target in route.targets[:1] if target.static is None]",
            ),
        ),
        (f"{_UNPRICED}a_free_model_with_a_paid_fallback_is_paid",),
    ),
    Mutation(
        "price-of-the-first-target",
        "Of a route only the first target is priced.",
        (
            Patch(
                "_priced",
                "[(target.provider, target.model) for target in route.targets if target.static is None]",
                "[(target.provider, target.model) for target in route.targets[:1] if target.static is None]",
            ),
        ),
        (f"{_SETTLING}the_dearest_target_of_a_preset_is_set_aside",),
    ),
    Mutation(
        "wild-prices-taken",
        "A price list that changed its unit, or a model a thousand times cheaper, is taken as it comes.",
        (Patch("ModelLists._refresh", "fresh, moves = accept_refresh(listing.prices, fresh)", "accept_refresh"),),
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
                "ModelLists._refresh",
                "listing.problem = str(error)",
                "listing.problem, listing.prices = str(error), _NO_PRICES",
            ),
        ),
        (f"{_CATALOGUE}a_broken_list_changes_nothing",),
    ),
    Mutation(
        "no-last-good-copy",
        "A restart while the provider is away knows no price.",
        (Patch("App._open", "await self.model_lists.load(self.live.current.providers)"),),
        (f"{_CATALOGUE}the_last_good_copy_is_there_after_a_restart_without_the_provider",),
    ),
    Mutation(
        "another-endpoints-maximum",
        "A maximum that the provider does not read bounds the answer.",
        (Patch("_named_maximum", "MAXIMUM[endpoint]", "[key for keys in MAXIMUM.values() for key in keys]"),),
        ("tests/policy/pricing/test_body_facts.py::test_only_the_endpoints_own_maximum_bounds_the_answer[messages-5]",),
    ),
    Mutation(
        "a-list-refused-for-one-entry",
        "One entry of a list of models without an id holds the whole list back.",
        (
            Patch(
                "read_model_list",
                "flaws.append(f'entry {place} has no id')\ncontinue",
                "raise ModelListError(f'entry {place} has no id')",
            ),
        ),
        ("tests/quotas/test_catalogue.py::test_a_flaw_costs_nobody_else_anything[None]",),
    ),
    Mutation(
        "the-cheaper-of-two-prices",
        "Of a model that is listed twice the price that comes first counts, and less is held than it may cost.",
        (Patch("_one_of_twins", "replace(first, price=dearer(second.price, first.price))", "first"),),
        ("tests/quotas/test_catalogue.py::test_a_model_that_is_listed_twice",),
    ),
    Mutation(
        "cache-writes-are-held-for-as-input",
        "A prompt that is to be cached is held for at the price of input, and charged at up to twice of that.",
        (Patch("policy.pricing.worst_case:_terms", "facts.writes_cache", "False"),),
        ("tests/policy/pricing/test_worst_case.py::test_what_is_to_be_cached_is_held_for",),
    ),
    Mutation(
        "cache-writes-at-the-price-of-input",
        "A configured price of what is written to a cache is never charged.",
        (Patch("charge", "(short_ausd, short)", "(input_ausd, short)"),),
        ("tests/policy/pricing/test_price.py::test_each_class_at_its_own_price[cache_write_tokens]",),
    ),
    Mutation(
        "a-lowered-bound-is-left-out",
        "Where the prompt may fill the context, the maximum that a limit lowered is left out.",
        (
            Patch(
                "maximum_to_write",
                "price.output_limit_tokens is not None and tokens >= price.output_limit_tokens",
                "price.output_limit_tokens is not None",
            ),
        ),
        ("tests/policy/pricing/test_worst_case.py::test_a_bound_leaves_room_for_the_prompt",),
    ),
    Mutation(
        "one-unpriced-target-refuses-all",
        "One target without a price makes a whole preset refuse everybody who has a limit.",
        (Patch("bookable_targets", "left_out.append(ExcludedTarget(target, reason))", "return route, ()"),),
        (f"{_LEFT_OUT}a_target_without_a_price",),
    ),
    Mutation(
        "an-unpriced-target-is-asked",
        "A target without a price is kept where others have one.",
        (
            Patch(
                "pipeline.admission.bookable_targets:_reason",
                '"no price" if model == target.model else f"no price of {model}"',
                "None",
            ),
        ),
        (f"{_LEFT_OUT}a_target_without_a_price",),
    ),
    Mutation(
        "a-budget-of-gemini-is-cut",
        "A maximum is lowered below a thinking budget that is named in another way than Anthropic's.",
        (
            Patch(
                "_THINKING_PARTS",
                '("thinking", "reasoning", ..., "generationConfig")',
                '("thinking", "reasoning", "generationConfig")',
            ),
        ),
        ("tests/policy/pricing/test_body_facts.py::test_a_thinking_budget_in_every_form",),
    ),
)
