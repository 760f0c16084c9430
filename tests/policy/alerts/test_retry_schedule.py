"""When a failed delivery is tried again."""

from proxy.policy.alerts.retry_schedule import RETRY_DELAYS_S, SendResult, next_attempt_ms

FAILED = SendResult("the receiver answered 500", 500)


def test_ten_attempts_by_the_schedule() -> None:
    times = [next_attempt_ms(FAILED, attempts, 0, 0.0) for attempts in range(1, 12)]
    assert times == [*(delay_s * 1000 for delay_s in RETRY_DELAYS_S), None, None]


def test_the_jitter_only_adds() -> None:
    assert next_attempt_ms(FAILED, 1, 1000, 1.0) == 1000 + 5500


def test_a_receiver_may_ask_for_longer_but_not_for_ever() -> None:
    assert next_attempt_ms(FAILED._replace(retry_after_s=60), 1, 0, 0.0) == 60_000
    assert next_attempt_ms(FAILED._replace(retry_after_s=1), 1, 0, 0.0) == 5_000
    assert next_attempt_ms(FAILED._replace(retry_after_s=1e9), 1, 0, 0.0) == 86_400_000


def test_what_no_attempt_can_help_is_given_up() -> None:
    assert next_attempt_ms(FAILED._replace(is_final=True), 1, 0, 0.0) is None
    assert next_attempt_ms(FAILED._replace(is_gone=True), 1, 0, 0.0) is None
