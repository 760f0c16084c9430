"""The table of classes: what other parts rest on."""

from proxy.policy.reconciliation.drift_class import BY_NAME, DRIFT_CLASSES, UNKNOWN


def test_each_class_stands_once_and_says_what_it_is() -> None:
    assert len(BY_NAME) == len(DRIFT_CLASSES)
    assert all(each.meaning.endswith(".") for each in DRIFT_CLASSES)


def test_what_stays_is_booked_by_nobody() -> None:
    assert all(each.remedy == "none" for each in DRIFT_CLASSES if each.is_lasting)


def test_what_nobody_explains_is_open_and_not_booked() -> None:
    assert not BY_NAME[UNKNOWN].is_lasting
    assert BY_NAME[UNKNOWN].remedy == "none"
