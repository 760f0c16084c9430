"""Who looks at a page, as found by their cookie."""

from msgspec import Struct, field

from proxy.web.admin.route import Operator, Role
from proxy.web.dashboard.form_keys import FormKeys


class Session(Struct, frozen=True):
    """A login: of an operator below /dashboard, of a user below /me. id: names it in lists, and opens nothing.

    forms: the keys of its forms.
    """

    id: str
    name: str
    operator: Operator | None = None
    user: str | None = None
    forms: FormKeys = field(default_factory=FormKeys)

    @property
    def role(self) -> Role:
        """Return what may be done; a user, and whoever logs in, changes what is their own."""
        return Role.ADMIN if self.operator is None else self.operator.role


NOBODY = Session("", "")
"""Who opens a page that needs no login, without one."""
