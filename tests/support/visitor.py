"""A person at a browser, as far as HTTP shows one: logs in, keeps the cookie, sends forms with their keys."""

import re
from collections.abc import Iterable, Mapping
from urllib.parse import urlencode

from tests.support.raw import Answer, ask

_KEY = re.compile(r'name="form_key" value="([^"]+)"')
_COOKIE = re.compile(r"([^=;]+)=([^;]*)")
FORM = ("Content-Type", "application/x-www-form-urlencoded")


class Visitor:
    """Somebody at one port. cookie: as the browser sends it; "" while logged out."""

    def __init__(self, port: int, home: str = "/dashboard") -> None:
        self.port, self.home, self.cookie = port, home, ""

    async def log_in(self, token: str) -> Answer:
        """Send the form of the login, and keep the cookie that it answers."""
        answer = await self.send(f"{self.home}/login", {"token": token})
        self.keep(answer)
        return answer

    def keep(self, answer: Answer) -> None:
        """Keep the cookie of an answer, if it sets one."""
        found = _COOKIE.match(answer.header("Set-Cookie") or "")
        if found is not None:
            self.cookie = f"{found[1]}={found[2]}" if found[2] else ""

    async def get(self, path: str, *, headers: Iterable[tuple[str, str]] = (), method: str = "GET") -> Answer:
        """Ask for a page."""
        return await ask(self.port, method, path, headers=[*self._cookies(), *headers])

    async def send(
        self,
        path: str,
        form: Mapping[str, str],
        *,
        headers: Iterable[tuple[str, str]] = (),
        method: str = "POST",
        host: str = "127.0.0.1",
    ) -> Answer:
        """Send a form as it is."""
        body = urlencode(form).encode()
        return await ask(self.port, method, path, body, headers=[FORM, *self._cookies(), *headers], host=host)

    async def post(self, path: str, form: Mapping[str, str], **more: str) -> Answer:
        """Send a form with a fresh key."""
        return await self.send(path, {**form, "form_key": await self.form_key(), **more})

    async def form_key(self) -> str:
        """Return a key of the first page's forms; each page has one, for logging out."""
        answer = await self.get(f"{self.home}/sessions" if self.home == "/dashboard" else f"{self.home}/logins")
        found = _KEY.search(answer.body.decode())
        assert found is not None, (answer.status, answer.body)
        return found[1]

    def _cookies(self) -> list[tuple[str, str]]:
        return [("Cookie", self.cookie)] if self.cookie else []
