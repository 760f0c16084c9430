"""Bodies that come again: counted by token, forgotten with time, and never more than fit."""

from proxy.pipeline.repeated_bodies import RepeatedBodies
from proxy.pipeline.values.allowance import Allowance
from proxy.pipeline.values.identity import Identity

MINUTE_MS = 60_000
ALLOWANCE = Allowance((), (), None, None, False, False, False)
ANNA = Identity("anna", None, "tok_1", ALLOWANCE)


class Clock:
    now_ms_ = 100 * MINUTE_MS

    def now_ms(self) -> int:
        return self.now_ms_


def test_the_same_body_of_one_token_counts_and_no_other() -> None:
    clock = Clock()
    bodies = RepeatedBodies(clock.now_ms)
    for user, body in (("anna", b"a"), ("anna", b"a"), ("anna", b"a"), ("anna", b"b"), ("bo", b"a")):
        bodies.note(Identity(user, None, f"tok_{user}", ALLOWANCE), body, clock.now_ms_)
    (found,) = bodies.within(MINUTE_MS)
    assert (found.user, found.token_id, found.times) == ("anna", "tok_anna", 3)
    assert isinstance(found.digest, int), "never the body itself"


def test_counts_add_up_over_time_and_end_with_it() -> None:
    clock = Clock()
    bodies = RepeatedBodies(clock.now_ms)
    for _ in range(5):
        bodies.note(ANNA, b"a", clock.now_ms_)
        clock.now_ms_ += MINUTE_MS
    assert bodies.within(10 * MINUTE_MS)[0].times == 5
    assert bodies.within(3 * MINUTE_MS)[0].times == 3
    clock.now_ms_ += 61 * MINUTE_MS
    assert bodies.within(60 * MINUTE_MS) == []


def test_a_long_body_is_known_by_its_length_and_its_ends() -> None:
    clock = Clock()
    bodies = RepeatedBodies(clock.now_ms)
    long = b"x" * (2 << 20)
    for body in (long, long, long, long + b"x", b"y" + long[1:]):
        bodies.note(ANNA, body, clock.now_ms_)
    (found,) = bodies.within(MINUTE_MS)
    assert found.times == 3


def test_a_flood_of_different_bodies_takes_no_more_room_and_hides_no_loop() -> None:
    clock = Clock()
    bodies = RepeatedBodies(clock.now_ms)
    for number in range(20_000):
        bodies.note(ANNA, b"%d" % number, clock.now_ms_)
        bodies.note(ANNA, b"loop", clock.now_ms_)
    assert sum(map(len, bodies._slices.values())) <= 512
    assert max(bodies.within(MINUTE_MS), key=lambda found: found.times).times == 20_000
    for _ in range(1000):
        clock.now_ms_ += 10_000
        bodies.note(ANNA, b"a", clock.now_ms_)
    assert len(bodies._slices) <= 362


def test_bodies_that_differ_in_the_middle_alone_are_not_the_same() -> None:
    clock = Clock()
    bodies = RepeatedBodies(clock.now_ms)
    for word in (b"cat", b"dog", b"cat", b"cow", b"cat"):
        bodies.note(ANNA, b"head" + word + b"x" * 500, clock.now_ms_)
    (found,) = bodies.within(MINUTE_MS)
    assert found.times == 3


def test_one_of_long_ago_does_not_count_now() -> None:
    clock = Clock()
    bodies = RepeatedBodies(clock.now_ms)
    bodies.note(ANNA, b"a", clock.now_ms_)
    clock.now_ms_ += 30 * MINUTE_MS
    for _ in range(2):
        bodies.note(ANNA, b"a", clock.now_ms_)
    assert bodies.within(5 * MINUTE_MS)[0].times == 2
    assert bodies.within(40 * MINUTE_MS)[0].times == 3
    clock.now_ms_ += 300 * MINUTE_MS
    bodies.note(ANNA, b"a", clock.now_ms_)
    assert bodies.within(60 * MINUTE_MS) == []
    assert len(bodies._slices) <= 361
