"""Keys of forms: each is good for one POST of one session, so that no other page, and no reload, sends it (again)."""

import base64
import hashlib
import hmac
import secrets
from typing import Protocol

from proxy.core.errors import CallerError

OUTSTANDING_MAX = 10_000  # of a session; what was made before them is out of date
_DIGITS_MAX = 18


class FormKeys:
    """The keys of one session, from a secret that lives as long as this process."""

    __slots__ = ("_floor", "_made", "_secret", "_spent")

    def __init__(self) -> None:
        self._secret = secrets.token_bytes(32)
        self._made = 0
        self._floor = 0  # none up to here is taken any more
        self._spent: set[int] = set()  # of those above it

    def make(self) -> str:
        """Return a key for one POST."""
        self._made += 1
        if self._made - self._floor > OUTSTANDING_MAX:
            self._floor = self._made - OUTSTANDING_MAX
            self._spent.discard(self._floor)
        return f"{self._made}.{self._proof(self._made)}"

    def spend(self, key: str) -> None:
        """Use a key up; raises CallerError for one that is not of this session and start, or was used before."""
        number, _, proof = key.partition(".")
        if not (number.isascii() and number.isdigit() and len(number) <= _DIGITS_MAX):
            raise _out_of_date()
        is_ours = hmac.compare_digest(proof.encode(errors="surrogatepass"), self._proof(int(number)).encode())
        if not is_ours or int(number) <= self._floor:
            raise _out_of_date()
        if int(number) in self._spent:
            raise CallerError(
                409,
                "form_already_sent",
                "This form was sent already, and is done once only. Go back and load the page again to see what holds.",
            )
        self._spent.add(int(number))

    def _proof(self, number: int) -> str:
        digest = hmac.digest(self._secret, str(number).encode(), hashlib.sha256)
        return base64.urlsafe_b64encode(digest[:24]).decode()


class FormOwner(Protocol):
    """What has forms of its own: a session."""

    @property
    def forms(self) -> FormKeys: ...


def new_form_key(session: FormOwner) -> str:
    """Return the key that a form of a page of this session carries."""
    return session.forms.make()


def check_form_key(session: FormOwner, value: str) -> None:
    """Use up the key that came with a form; raises CallerError 403 or 409, and then nothing may be done."""
    session.forms.spend(value)


def _out_of_date() -> CallerError:
    return CallerError(
        403,
        "form_out_of_date",
        "This form is out of date: the proxy has started anew since, or you have logged in again. Nothing was done."
        " Load the page again and send it once more.",
        type_="permission_error",
    )
