"""A day of the ledger against a day of the bill: each difference is in one class, and the classes are all of it."""

from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from proxy.jobs.reconciliation.bill_corrections import corrections_of, costs_apart
from proxy.policy.pricing import Price
from proxy.policy.reconciliation.day_comparison import (
    SHOWN_AFTER_MS,
    BilledCall,
    BookedApart,
    BookedRequest,
    DayBooks,
    DriftEntry,
    compare_day,
)
from proxy.policy.reconciliation.drift_class import (
    BEFORE_PROXY,
    BY_NAME,
    DRIFT_CLASSES,
    ESTIMATED,
    LOST_ROW,
    OTHER_DAY,
    OTHER_KEY,
    OUTSIDE_CALL,
    OWN_KEY,
    PENDING,
    PRICE_ROUNDING,
    RAISED,
    REFUNDED,
    RESERVATION_CHARGED,
    UNKNOWN,
)

DAY_MS = 20_000 * 86_400_000
NOON_MS = DAY_MS + 43_200_000
LATER_MS = DAY_MS + 3 * 86_400_000
BIG = 500_000_000


def row(**more: Any) -> BookedRequest:
    usual: dict[str, Any] = {
        "id": 7,
        "started_ms": NOON_MS,
        "ended_ms": NOON_MS + 1_000,
        "user": "anna",
        "key_hash": "k",
        "model": "a/m",
        "generation_ids": ("g",),
        "unnamed": 0,
        "booked_pusd": BIG,
        "elsewhere_pusd": 0,
        "upstream_pusd": 0,
        "source": "provider",
        "state": "settled",
        "is_own": False,
    }
    return BookedRequest(**{**usual, **more})


def call(cost_pusd: int = BIG, **more: Any) -> BilledCall:
    usual: dict[str, Any] = {
        "generation_id": "g",
        "key_hash": "k",
        "cost_pusd": cost_pusd,
        "hour_ms": NOON_MS,
        "created_ms": NOON_MS,
    }
    return BilledCall(**{**usual, **more})


def books(requests: list[BookedRequest], *calls: BilledCall, **more: Any) -> DayBooks:
    billed = {one.generation_id: one for one in calls}
    return DayBooks(**{"day_ms": DAY_MS, "now_ms": LATER_MS, "requests": requests, "billed": billed, **more})


def only(compared: DayBooks) -> DriftEntry:
    found = compare_day(compared)
    (entry,) = found.entries
    assert entry.amount_pusd == found.difference_pusd
    assert found.drift_pusd == (0 if BY_NAME[entry.drift_class].is_lasting else entry.amount_pusd)
    return entry


@pytest.mark.parametrize(
    ("request_", "cost_pusd", "name"),
    [
        (row(source="reservation"), BIG // 4, RESERVATION_CHARGED),
        (row(source="estimate"), BIG * 2, ESTIMATED),
        (row(source="price"), BIG + 5_000, ESTIMATED),
        (row(source="none", state="released", booked_pusd=0), BIG, ESTIMATED),
        (row(state="pending", booked_pusd=0), BIG, PENDING),
        (row(), BIG + 999, PRICE_ROUNDING),
        (row(source="price"), BIG - 999, PRICE_ROUNDING),
        (row(), 0, REFUNDED),
        (row(source="generation"), BIG - 5_000, REFUNDED),
        (row(), BIG + 5_000, RAISED),
    ],
)
def test_a_known_call_is_booked_as_billed(request_: BookedRequest, cost_pusd: int, name: str) -> None:
    entry = only(books([request_], call(cost_pusd)))
    assert entry.drift_class == name
    assert entry.request_id == 7
    assert entry.actual_pusd == cost_pusd


def test_equal_figures_are_no_difference() -> None:
    assert not compare_day(books([row()], call())).entries


def test_what_was_paid_elsewhere_stays_booked() -> None:
    entry = only(books([row(source="reservation", elsewhere_pusd=40)], call(100)))
    assert entry.actual_pusd == 140


def test_a_request_that_still_runs_is_left_to_its_end() -> None:
    entry = only(books([row(state="open", booked_pusd=0, ended_ms=None)], call()))
    assert (entry.drift_class, entry.actual_pusd) == (PENDING, None)


def test_the_bill_shows_a_call_late() -> None:
    just_now = books([row()], now_ms=NOON_MS + SHOWN_AFTER_MS)
    assert (only(just_now).drift_class, only(just_now).actual_pusd) == (PENDING, None)
    assert only(books([row()], now_ms=NOON_MS + 1_000 + SHOWN_AFTER_MS)).drift_class == UNKNOWN


@pytest.mark.parametrize("source", ["reservation", "estimate"])
def test_only_a_complete_bill_says_that_nothing_was_charged(source: str) -> None:
    entry = only(books([row(source=source)]))
    assert entry.actual_pusd is None
    entry = only(books([row(source=source)], is_complete=True, account_pusd=0))
    assert entry.actual_pusd == 0


def test_what_the_provider_told_is_not_taken_back_by_silence() -> None:
    entry = only(books([row()], is_complete=True, account_pusd=0))
    assert (entry.drift_class, entry.actual_pusd) == (UNKNOWN, None)


def test_midnight_moves_a_call_and_nothing_is_lost() -> None:
    before = compare_day(books([row(started_ms=NOON_MS)], later={"g": call()}))
    assert [(one.drift_class, one.amount_pusd) for one in before.entries] == [(OTHER_DAY, -BIG)]
    after = compare_day(books([], call(), earlier={"g"}))
    assert [(one.drift_class, one.amount_pusd) for one in after.entries] == [(OTHER_DAY, BIG)]


def test_a_correction_over_midnight_is_of_the_day_on_which_it_began() -> None:
    found = compare_day(books([row(source="reservation")], later={"g": call(100)}))
    assert {one.drift_class: one.amount_pusd for one in found.entries} == {
        OTHER_DAY: -100,
        RESERVATION_CHARGED: 100 - BIG,
    }


@pytest.mark.parametrize(
    ("origin", "name", "actual"), [("proxy", LOST_ROW, BIG), ("other", OUTSIDE_CALL, BIG), ("", UNKNOWN, None)]
)
def test_a_call_without_a_row(origin: Any, name: str, actual: int | None) -> None:
    entry = only(books([], call(origin=origin)))
    assert (entry.drift_class, entry.request_id, entry.generation_id) == (name, None, "g")
    assert entry.actual_pusd == actual


def test_what_was_booked_apart_is_no_difference_again() -> None:
    apart = [BookedApart("g", "k", BIG)]
    assert not compare_day(books([], call(origin="proxy"), apart=apart)).entries
    assert only(books([], call(BIG // 2, origin="proxy"), apart=apart)).drift_class == REFUNDED
    assert only(books([], apart=apart)).drift_class == UNKNOWN
    assert only(books([], apart=apart, is_complete=True, account_pusd=0)).actual_pusd == 0


def test_a_hung_up_request_is_found_on_the_bill() -> None:
    unnamed = row(source="reservation", generation_ids=(), unnamed=1)
    found = compare_day(books([unnamed], call(100, generation_id="x", created_ms=NOON_MS + 500, origin="proxy")))
    (entry,) = found.entries
    assert (entry.drift_class, entry.request_id, entry.actual_pusd) == (RESERVATION_CHARGED, 7, 100)
    assert found.pairs == {"x": 7}


def test_doubt_books_nothing() -> None:
    unnamed = row(source="reservation", generation_ids=(), unnamed=1)
    calls = [call(100, generation_id=id_, created_ms=NOON_MS + 500, origin="proxy") for id_ in "xy"]
    found = compare_day(books([unnamed], *calls, is_complete=True, account_pusd=200))
    assert {one.actual_pusd for one in found.entries} == {None}
    assert {one.drift_class for one in found.entries} == {RESERVATION_CHARGED, LOST_ROW}


def test_keys_of_others() -> None:
    assert only(books([row(is_own=True)])).drift_class == OWN_KEY
    byok = only(books([row(upstream_pusd=400, booked_pusd=450)], call(50)))
    assert (byok.drift_class, byok.amount_pusd, byok.actual_pusd) == (OWN_KEY, -400, None)
    assert only(books([], other_keys_pusd=5, account_pusd=5)).drift_class == OTHER_KEY


_CHEAP = Price(10**12, 2 * 10**12)  # a dollar a million, two for output


@pytest.mark.parametrize(
    ("request_", "cost_pusd", "name"),
    [
        (row(source="price", input_tokens=300, output_tokens=100), 249_999_999, UNKNOWN),
        (row(source="price", input_tokens=300, output_tokens=100), BIG // 2, ESTIMATED),
        (row(input_tokens=300, output_tokens=100), 0, UNKNOWN),
        (row(input_tokens=300, output_tokens=100), BIG * 2, RAISED),
        (row(source="reservation", booked_pusd=9 * BIG, input_tokens=300, output_tokens=100), BIG, RESERVATION_CHARGED),
        (row(source="reservation", booked_pusd=9 * BIG, input_tokens=300, output_tokens=100), 1, UNKNOWN),
        (row(booked_pusd=40, input_tokens=300, output_tokens=100), 20, PRICE_ROUNDING),  # as cheap as it was told
        (row(source="reservation", input_tokens=0, output_tokens=0), 1, RESERVATION_CHARGED),
        (row(model="a/unpriced", input_tokens=300, output_tokens=100), 0, REFUNDED),
        (row(state="pending", booked_pusd=0, input_tokens=300, output_tokens=100), 1, UNKNOWN),
        (row(state="released", source="none", booked_pusd=0, input_tokens=300, output_tokens=100), 5000, ESTIMATED),
    ],
)
def test_what_is_far_too_cheap_is_not_booked(request_: BookedRequest, cost_pusd: int, name: str) -> None:
    entry = only(books([request_], call(cost_pusd), prices={"a/m": _CHEAP}))
    assert (entry.drift_class, entry.actual_pusd) == (name, None if name == UNKNOWN else cost_pusd)


def test_what_the_bill_has_beside_its_calls_is_unknown() -> None:
    entry = only(books([row()], call(), account_pusd=BIG + 3))
    assert (entry.drift_class, entry.amount_pusd) == (UNKNOWN, 3)


_amount = st.integers(0, 10**13)
_ids = st.sampled_from([*"abcdefgh"])
_moments = st.integers(DAY_MS, DAY_MS + 86_399_999)
_calls = st.builds(
    BilledCall, _ids, st.sampled_from("kl"), _amount, _moments, _moments, st.sampled_from(["proxy", "other", ""])
)
_rows = st.builds(
    BookedRequest,
    st.integers(1, 10**6),
    _moments,
    st.none() | _moments,
    st.sampled_from(["anna", "bo"]),
    st.sampled_from("kl"),
    st.sampled_from(["", "a/m"]),
    st.lists(_ids, max_size=3, unique=True).map(tuple),
    st.integers(0, 1),
    _amount,
    _amount,
    _amount,
    st.sampled_from(["provider", "generation", "price", "estimate", "reservation", "none"]),
    st.sampled_from(["open", "pending", "settled", "released"]),
    st.booleans(),
)


@st.composite
def any_books(draw: st.DrawFn) -> DayBooks:
    """Draw a day of both books in which no call is claimed by two rows."""
    seen = set[str]()
    requests = []
    for one in draw(st.lists(_rows, max_size=6, unique_by=lambda each: each.id)):
        requests.append(one._replace(generation_ids=tuple(id_ for id_ in one.generation_ids if id_ not in seen)))
        seen.update(one.generation_ids)
    billed = {one.generation_id: one for one in draw(st.lists(_calls, max_size=6))}
    later = {one.generation_id: one for one in draw(st.lists(_calls, max_size=3)) if one.generation_id not in billed}
    earlier = {id_ for id_ in draw(st.sets(_ids)) if id_ not in seen}
    free = [*"abcdefghxyz"]
    apart = [
        BookedApart(id_, "k", amount)
        for id_, amount in draw(st.dictionaries(st.sampled_from(free), _amount, max_size=3)).items()
        if id_ not in seen and id_ not in earlier
    ]
    return DayBooks(
        DAY_MS,
        draw(st.sampled_from([NOON_MS, LATER_MS])),
        requests,
        billed,
        later,
        earlier,
        apart,
        draw(_amount),
        draw(st.none() | _amount),
        draw(_amount),
        draw(st.booleans()),
    )


@given(any_books())
def test_the_classes_add_up_to_the_drift(drawn: DayBooks) -> None:
    found = compare_day(drawn)
    assert sum(entry.amount_pusd for entry in found.entries) == found.billed_pusd - found.booked_pusd
    assert {entry.drift_class for entry in found.entries} <= {each.name for each in DRIFT_CLASSES}
    assert found.booked_pusd == drawn.agreed_pusd + sum(one.booked_pusd for one in drawn.requests) + sum(
        one.amount_pusd for one in drawn.apart
    )
    listed_pusd = drawn.agreed_pusd + sum(one.cost_pusd for one in drawn.billed.values()) + drawn.other_keys_pusd
    of_day = [one for one in found.entries if not one.request_id and not one.generation_id]
    rest = [one for one in of_day if one.drift_class != OTHER_KEY]
    if drawn.account_pusd is None:  # then each cent is of a call, a request or another key, and none is left over
        assert found.billed_pusd == listed_pusd
        assert not rest
    else:
        assert found.billed_pusd == drawn.account_pusd
        assert sum(one.amount_pusd for one in rest) == drawn.account_pusd - listed_pusd


@given(any_books())
def test_booking_what_follows_leaves_nothing_of_it(drawn: DayBooks) -> None:
    """What is booked as the entries say is booked as billed: a second look finds nothing more to book."""
    found = compare_day(drawn)
    actual = {
        one.request_id: one.actual_pusd for one in found.entries if one.request_id and one.actual_pusd is not None
    }
    new_apart = {one.generation_id: one for one in found.entries if not one.request_id and one.actual_pusd is not None}
    requests = []
    for one in drawn.requests:
        ids = tuple(id_ for id_, request_id in found.pairs.items() if request_id == one.id)
        named = one._replace(generation_ids=(*one.generation_ids, *ids), unnamed=one.unnamed - len(ids))
        if one.id in actual:
            assert (actual[one.id] or 0) >= 0
            state = "settled" if one.state == "pending" else one.state
            named = named._replace(booked_pusd=(actual[one.id] or 0) - one.elsewhere_pusd, state=state)
        requests.append(named)
    apart = {one.reference: one for one in drawn.apart}
    for id_, entry in new_apart.items():
        assert id_ is not None
        apart[id_] = BookedApart(id_, entry.key_hash, entry.actual_pusd or 0)
    again = compare_day(
        DayBooks(
            drawn.day_ms,
            drawn.now_ms,
            requests,
            drawn.billed,
            drawn.later,
            drawn.earlier,
            [*apart.values()],
            drawn.agreed_pusd,
            drawn.account_pusd,
            drawn.other_keys_pusd,
            drawn.is_complete,
        )
    )
    assert not [one for one in again.entries if one.actual_pusd is not None]


def test_a_request_that_has_no_call_is_not_found_on_the_bill() -> None:
    """Else its cost is booked away, and the bill that could not list it is taken for whole at the next look."""
    booked = row(generation_ids=(), unnamed=0, booked_pusd=1)
    found = compare_day(books([booked], is_complete=True))
    assert [(one.drift_class, one.amount_pusd, one.actual_pusd) for one in found.entries] == [("unknown", -1, None)]


def test_a_bill_without_what_the_provider_told_is_not_whole() -> None:
    told, charged = row(id=1), row(id=2, generation_ids=("h",), source="reservation")
    found = compare_day(books([told, charged], is_complete=True))
    assert [(one.drift_class, one.actual_pusd) for one in found.entries] == [
        (UNKNOWN, None),
        (RESERVATION_CHARGED, None),  # of a bill that lacks the other call it is not sure that it was not charged
    ]
    whole = compare_day(books([told, charged], call(), is_complete=True))
    assert [(one.drift_class, one.actual_pusd) for one in whole.entries] == [(RESERVATION_CHARGED, 0)]


def test_nothing_is_booked_below_zero() -> None:
    assert only(books([row()], call(-1))).actual_pusd is None
    assert only(books([], call(-1, origin="other"))).actual_pusd is None
    apart = BookedApart("g", "k", BIG)
    assert only(books([], call(-1), apart=[apart])).actual_pusd is None
    assert only(books([row()], call(0))).actual_pusd == 0


def test_what_a_sum_is_rounded_by_is_no_riddle() -> None:
    found = only(books([row()], call(), account_pusd=BIG + 3, is_complete=True))
    assert (found.drift_class, found.amount_pusd, found.actual_pusd) == (PRICE_ROUNDING, 3, None)
    assert only(books([row()], call(), account_pusd=BIG + 3)).drift_class == UNKNOWN


def test_a_call_of_a_shared_key_may_be_a_request_elsewhere() -> None:
    entry = only(books([], call(origin="proxy"), shared_keys={"k"}))
    assert (entry.drift_class, entry.actual_pusd) == (LOST_ROW, None)
    assert only(books([], call(origin="proxy"), shared_keys={"other"})).actual_pusd == BIG


def test_what_somebody_else_bills_is_booked_with_it() -> None:
    """The bill has OpenRouter's part alone; the record of the call has the other one."""
    told = call(100, origin="proxy", upstream_pusd=BIG // 4)
    for compared in (
        books([row(source="reservation")], told, has_upstream=True),
        books([row(source="reservation", generation_ids=(), unnamed=1)], told, has_upstream=True),
    ):
        found = compare_day(compared)
        assert {one.drift_class: one.amount_pusd for one in found.entries} == {
            OWN_KEY: -(BIG // 4),
            RESERVATION_CHARGED: 100 + BIG // 4 - BIG,
        }
        assert [one.actual_pusd for one in found.entries] == [None, 100 + BIG // 4]
        assert sum(one.amount_pusd for one in found.entries) == found.difference_pusd
    again = compare_day(books([row(source="reservation", booked_pusd=100 + BIG // 4)], told, has_upstream=True))
    assert [one.drift_class for one in again.entries] == [OWN_KEY]


def test_nothing_is_booked_down_while_somebody_else_may_bill_a_part() -> None:
    unheard = books([row(source="reservation")], call(100), has_upstream=True)
    assert only(unheard).actual_pusd is None
    assert only(replace(unheard, has_upstream=False)).actual_pusd == 100
    more = books([row(source="reservation")], call(BIG + 5_000), has_upstream=True)
    assert only(more).actual_pusd == BIG + 5_000
    assert only(books([row()], call(BIG - 5_000), has_upstream=True)).actual_pusd == BIG - 5_000, "the row knows"


def test_a_lost_row_is_booked_with_what_somebody_else_bills() -> None:
    told = call(100, origin="proxy", upstream_pusd=40)
    found = compare_day(books([], told, has_upstream=True))
    assert [(one.drift_class, one.amount_pusd, one.actual_pusd) for one in found.entries] == [
        (OWN_KEY, -40, None),
        (LOST_ROW, 140, 140),
    ]
    booked = BookedApart("g", "k", 140)
    assert [one.drift_class for one in compare_day(books([], told, apart=[booked])).entries] == [OWN_KEY]
    unheard = books([], call(100), apart=[booked], has_upstream=True)
    assert only(unheard).actual_pusd is None


def test_of_several_attempts_some_may_be_no_call() -> None:
    request = row(source="reservation", generation_ids=(), unnamed=2)
    entry = only(books([request], call(40, origin="proxy")))
    assert (entry.drift_class, entry.actual_pusd) == (RESERVATION_CHARGED, None)
    entry = only(books([request], call(40, origin="proxy"), is_complete=True))
    assert (entry.drift_class, entry.actual_pusd) == (RESERVATION_CHARGED, 40)
    entry = only(books([request], call(40, origin="proxy"), call(2, generation_id="h", origin="proxy")))
    assert (entry.drift_class, entry.actual_pusd) == (RESERVATION_CHARGED, 42)


def test_a_figure_is_that_of_an_attempt_at_this_provider() -> None:
    entry = only(books([row(source="reservation", attempt=1, elsewhere_pusd=40)], call(100)))
    assert (entry.attempt, entry.actual_pusd) == (1, 140)
    [wanted] = corrections_of("p", [entry])
    assert (wanted.attempt, wanted.actual_pusd) == (1, 140)


def apart(amount_pusd: int = BIG, reference: str = "g", days: int = 0) -> BookedApart:
    return BookedApart(reference, "k", amount_pusd, days)


def kept(compared: DayBooks) -> list[tuple[str, int, int | None]]:
    """Return the differences by class, with what is to be booked; they are the whole difference."""
    found = compare_day(compared)
    assert sum(entry.amount_pusd for entry in found.entries) == found.difference_pusd
    return [(entry.drift_class, entry.amount_pusd, entry.actual_pusd) for entry in found.entries]


@pytest.mark.parametrize("begun", [{"begun_ms": NOON_MS + 60_000}, {"keys_begun_ms": {"k": NOON_MS + 60_000}}])
def test_what_was_before_the_proxy_or_its_key_is_never_booked(begun: dict[str, Any]) -> None:
    entry = only(books([], call(origin="other"), **begun))
    assert (entry.drift_class, entry.actual_pusd) == (BEFORE_PROXY, None)
    assert kept(books([], call(origin="other"), keys_begun_ms={"l": LATER_MS})) == [(OUTSIDE_CALL, BIG, BIG)]
    assert kept(books([], call(origin="other"), apart=[apart()], **begun)) == []  # booked once, it stays


def test_a_call_that_is_a_request_after_all_is_not_booked_apart_any_more() -> None:
    """It was booked while nobody knew; the request may be of the same day or of the one before."""
    assert kept(books([row()], call(), apart=[apart()])) == [(LOST_ROW, -BIG, 0)]
    assert kept(books([], call(), apart=[apart()], earlier={"g"})) == [(OTHER_DAY, BIG, None), (LOST_ROW, -BIG, 0)]
    unnamed = row(generation_ids=(), unnamed=1, source="reservation")
    late = call(BIG // 4, hour_ms=DAY_MS + 86_400_000)
    found = kept(books([unnamed], later={"g": late}, apart=[apart(BIG // 4, days=1)]))
    assert (LOST_ROW, 0, 0) in found
    assert (RESERVATION_CHARGED, BIG // 4 - BIG, BIG // 4) in found


def test_a_call_whose_time_moved_over_midnight_stays_where_it_was_booked() -> None:
    late = call(hour_ms=DAY_MS + 86_400_000, origin="other")
    assert kept(books([], later={"g": late}, apart=[apart()], is_complete=True)) == [(OTHER_DAY, -BIG, None)]
    assert kept(books([], call(origin="other"), apart=[apart(days=-1)])) == [(OTHER_DAY, BIG, None)]
    cheaper = late._replace(cost_pusd=BIG // 2)
    assert kept(books([], later={"g": cheaper}, apart=[apart()])) == [
        (OTHER_DAY, -BIG // 2, None),
        (REFUNDED, -BIG // 2, BIG // 2),
    ]


def test_a_sum_gives_way_to_the_calls_that_it_was_made_of() -> None:
    whole = apart(reference="sum of 2024-10-04 k a/m")
    outside = call(BIG // 4, origin="other")
    assert kept(books([], outside, apart=[whole])) == [
        (OUTSIDE_CALL, BIG // 4, BIG // 4),
        (OUTSIDE_CALL, -BIG // 4, BIG - BIG // 4),
        (UNKNOWN, BIG // 4 - BIG, None),
    ]
    left, done = apart(BIG - BIG // 4, "sum of 2024-10-04 k a/m"), apart(BIG // 4)
    assert kept(books([], outside, apart=[left, done])) == [(UNKNOWN, BIG // 4 - BIG, None)]  # not twice
    assert kept(books([], outside, apart=[left, done], is_complete=True)) == [(REFUNDED, BIG // 4 - BIG, 0)]


def test_each_attempt_is_a_call_to_its_own_model() -> None:
    """The first attempt was cut off before its id came; the second one, to another model, answered."""
    request = row(model="b/n", unnamed=1, unnamed_as=(("k", "a/m"),), source="reservation", attempt=1)
    first, second = call(BIG // 8, generation_id="f", model="a/m", origin="proxy"), call(BIG // 8, model="b/n")
    found = compare_day(books([request], first, second))
    assert found.pairs == {"f": 7}
    assert [(one.drift_class, one.actual_pusd, one.attempt) for one in found.entries] == [
        (RESERVATION_CHARGED, BIG // 4, 1)
    ]


@pytest.mark.parametrize(
    ("zone", "minute", "day"),
    [
        ("UTC", 45, "2024-10-04"),
        ("Asia/Kolkata", 29, "2024-10-04"),
        ("Asia/Kolkata", 31, "2024-10-05"),
        ("Asia/Kathmandu", 14, "2024-10-04"),
        ("Asia/Kathmandu", 16, "2024-10-05"),
    ],
)
def test_a_call_of_nobody_counts_on_the_day_of_its_minute(zone: str, minute: int, day: str) -> None:
    """Days of a zone off the full hour begin within an hour of UTC: 18:30 and 18:15 here."""
    hour_ms = DAY_MS + 18 * 3_600_000
    at_ms = hour_ms + minute * 60_000
    [entry] = compare_day(books([], call(hour_ms=hour_ms, created_ms=at_ms, origin="proxy"))).entries
    [cost] = costs_apart("openrouter", [entry], {}, ZoneInfo(zone))
    assert (entry.hour_ms, cost.at_ms, cost.day) == (hour_ms, at_ms, day)
    [cost] = costs_apart("openrouter", [entry._replace(at_ms=None)], {}, ZoneInfo(zone))  # only the hour is known
    assert (cost.at_ms, cost.day) == (hour_ms, "2024-10-04")
    [entry] = compare_day(books([], call(hour_ms=hour_ms, created_ms=hour_ms - 60_000, origin="proxy"))).entries
    assert entry.at_ms == hour_ms
