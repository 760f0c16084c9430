"""Who looks at a page, as found by their cookie."""

from dataclasses import dataclass

from proxy.web.admin.route import Operator, Role


@dataclass(frozen=True, slots=True)
class Session:
    """A login: of an operator below /dashboard, of a user below /me. id: names it in lists, and opens nothing."""

    id: str
    name: str
    operator: Operator | None = None
    user: str | None = None

    @property
    def role(self) -> Role:
        """Return what may be done; a user changes what is their own."""
        return Role.ADMIN if self.operator is None else self.operator.role
