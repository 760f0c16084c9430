"""Bodies that come again: counted by token, forgotten with time, and never more than fit."""

from proxy.pipeline.repeated_bodies import RepeatedBodies

MINUTE_MS = 60_000


class Clock:
    now_ms_ = 100 * MINUTE_MS

    def now_ms(self) -> int:
        return self.now_ms_


def test_the_same_body_of_one_token_counts_and_no_other() -> None:
    clock = Clock()
    bodies = RepeatedBodies(clock.now_ms)
    for user, body in (("anna", b"a"), ("anna", b"a"), ("anna", b"b"), ("bo", b"a")):
        bodies.note(user, f"tok_{user}", body, clock.now_ms_)
    (found,) = bodies.within(MINUTE_MS)
    assert (found.user, found.token_id, found.times) == ("anna", "tok_anna", 2)
    assert isinstance(found.digest, int), "never the body itself"


def test_counts_add_up_over_time_and_end_with_it() -> None:
    clock = Clock()
    bodies = RepeatedBodies(clock.now_ms)
    for _ in range(5):
        bodies.note("anna", "tok_1", b"a", clock.now_ms_)
        clock.now_ms_ += MINUTE_MS
    assert bodies.within(10 * MINUTE_MS)[0].times == 5
    assert bodies.within(3 * MINUTE_MS)[0].times == 3
    clock.now_ms_ += 61 * MINUTE_MS
    assert bodies.within(60 * MINUTE_MS) == []


def test_a_long_body_is_known_by_its_length_and_its_ends() -> None:
    clock = Clock()
    bodies = RepeatedBodies(clock.now_ms)
    long = b"x" * (2 << 20)
    for body in (long, long, long + b"x", b"y" + long[1:]):
        bodies.note("anna", "tok_1", body, clock.now_ms_)
    (found,) = bodies.within(MINUTE_MS)
    assert found.times == 2


def test_a_flood_of_different_bodies_takes_no_more_room_and_hides_no_loop() -> None:
    clock = Clock()
    bodies = RepeatedBodies(clock.now_ms)
    for number in range(20_000):
        bodies.note("anna", "tok_1", b"%d" % number, clock.now_ms_)
        bodies.note("anna", "tok_1", b"loop", clock.now_ms_)
    assert sum(map(len, bodies._slices.values())) <= 512
    assert max(bodies.within(MINUTE_MS), key=lambda found: found.times).times == 20_000
    for _ in range(1000):
        clock.now_ms_ += 10_000
        bodies.note("anna", "tok_1", b"a", clock.now_ms_)
    assert len(bodies._slices) <= 362
