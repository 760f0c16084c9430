"""The parts of the dashboard as its menu shows them, in the order in which an operator needs them."""

from typing import Final, NamedTuple


class NavEntry(NamedTuple):
    """An address in the menu, and its word."""

    title: str
    path: str

    def is_at(self, path: str) -> bool:
        """Return whether a page belongs to this entry."""
        return path == self.path or (self.path not in ("/dashboard", "/me") and path.startswith(f"{self.path}/"))


OPERATOR: Final = (
    NavEntry("Overview", "/dashboard"),
    NavEntry("Requests", "/dashboard/requests"),
    NavEntry("People", "/dashboard/people"),
    NavEntry("Models", "/dashboard/models"),
    NavEntry("Projection", "/dashboard/projection"),
    NavEntry("Routes", "/dashboard/routes"),
    NavEntry("Account", "/dashboard/account"),
    NavEntry("Keys", "/dashboard/keys"),
    NavEntry("Alerts", "/dashboard/alerts"),
    NavEntry("Playground", "/dashboard/playground"),
    NavEntry("Audit", "/dashboard/audit"),
    NavEntry("Configuration", "/dashboard/configuration"),
    NavEntry("Sessions", "/dashboard/sessions"),
)
USER: Final = (
    NavEntry("My use", "/me"),
    NavEntry("Playground", "/me/playground"),
    NavEntry("Preferences", "/me/settings"),
    NavEntry("Logins", "/me/logins"),
)
STOP: Final = NavEntry("Stop", "/dashboard/stop")
