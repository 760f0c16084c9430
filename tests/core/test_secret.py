"""A secret shows itself to nobody who does not ask by name."""

import copy
import io
import json
import logging
import pickle
import traceback
from typing import ClassVar

import pytest
from rich.console import Console
from rich.pretty import Pretty

from proxy.core.secret import Secret, SecretHolder

TEXT = "sk-or-v1-very-secret"


def test_printed_forms() -> None:
    secret = Secret(TEXT)
    holder = {"key": secret, "list": [secret]}
    shown = [str(secret), repr(secret), f"{secret}", f"{secret!r:>40}", f"{secret:>9}", "%s %r" % (secret, secret)]  # noqa: UP031 - that form too
    shown += [str(holder), format(secret), "{0}".format(secret), ascii(secret)]  # noqa: UP030, UP032 - and those
    assert all(TEXT not in text for text in shown)
    assert secret.reveal() == TEXT


def test_in_logs_and_tracebacks(caplog: pytest.LogCaptureFixture) -> None:
    secret = Secret(TEXT)
    logging.getLogger("test").warning("key %s", secret, extra={"key": secret})
    text = "".join(traceback.format_exception(ValueError(secret)))
    assert "Secret" in text or "***" in text
    assert TEXT not in text
    assert TEXT not in caplog.text


def test_not_serialised_by_accident() -> None:
    with pytest.raises(TypeError):
        json.dumps(Secret(TEXT))
    with pytest.raises((TypeError, AttributeError)):
        vars(Secret(TEXT))


def test_equal_by_its_text() -> None:
    assert Secret("a") == Secret("a")
    assert Secret("a") != Secret("b")
    assert Secret("a") != "a"
    assert len({Secret("a"), Secret("a"), Secret("b")}) == 2
    secret = Secret("a")
    assert copy.copy(secret) is copy.deepcopy(secret) is secret
    with pytest.raises(TypeError):
        pickle.dumps(secret)


@pytest.mark.parametrize(("text", "filled"), [("", False), ("x", True)])
def test_truth_tells_whether_there_is_one(text: str, filled: bool) -> None:
    assert bool(Secret(text)) is filled


class Holder(SecretHolder, frozen=True):
    NOT_SHOWN: ClassVar = frozenset({"quoted"})

    name: str
    quoted: str


def test_a_record_that_holds_one_prints_its_other_fields() -> None:
    holder = Holder("main", TEXT)
    file = io.StringIO()
    Console(file=file).print(Pretty(holder), [holder])
    shown = [repr(holder), str(holder), f"{holder}", str({"held": [holder]}), file.getvalue()]
    assert all(TEXT not in text and "main" in text for text in shown)
    assert (holder.quoted, holder == Holder("main", "other")) == (TEXT, False)
