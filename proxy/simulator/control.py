"""Answers /_sim: what a test sets and reads. Nothing here is part of any provider's interface."""

from collections.abc import Callable, Mapping
from typing import Any

import orjson

from proxy.simulator import past
from proxy.simulator.account import SimulatedAccount
from proxy.simulator.behaviour import NAMED_BEHAVIOURS, Behaviour, BehaviourError, Script
from proxy.simulator.books import Books
from proxy.simulator.budgets import BudgetFieldError, read_budgets
from proxy.simulator.connection import Connection, Request, head_bytes
from proxy.simulator.ids import Ids
from proxy.simulator.prices import pricing_body
from proxy.simulator.provider import ServedPath
from proxy.simulator.request_log import DEFAULT_KEPT, RequestLog


class _WrongError(Exception):
    def __init__(self, status: int, text: str) -> None:
        super().__init__(text)
        self.status = status


class Control:
    def __init__(
        self,
        script: Script,
        books: Books,
        received: RequestLog,
        account: SimulatedAccount,
        stamp: Ids,
        profiles: Mapping[str, ServedPath],
    ) -> None:
        self._script = script
        self._profiles = profiles
        self._books = books
        self._received = received
        self._account = account
        self._stamp = stamp
        self._routes: dict[tuple[str, str], Callable[[dict[str, Any]], Any]] = {
            ("POST", "behaviour"): self._set_behaviour,
            ("GET", "behaviour"): lambda _: self._script.shown(),
            ("DELETE", "behaviour"): self._clear_behaviour,
            ("GET", "behaviours"): lambda _: NAMED_BEHAVIOURS,
            ("GET", "fields"): lambda _: Behaviour.model_json_schema()["properties"],
            ("POST", "reset"): self._reset,
            ("POST", "clock"): self._move_clock,
            ("POST", "account"): self._set_account,
            ("GET", "requests"): lambda _: self._received.shown(),
            ("POST", "requests"): self._keep_requests,
            ("DELETE", "requests"): self._clear_requests,
            ("GET", "books"): lambda _: self._books.shown(),
            ("DELETE", "books"): self._clear_books,
            ("POST", "generations/tell"): self._tell_generations,
            ("POST", "past"): self._plant,
            ("POST", "charge"): self._change_charge,
            ("GET", "profiles"): lambda _: {name: _row(one) for name, one in self._profiles.items()},
            ("GET", "profiles/books"): lambda _: {name: one.books.shown() for name, one in self._profiles.items()},
        }

    async def serve(self, request: Request, connection: Connection, path: str) -> None:
        try:
            status, body = 200, self._answer(request, path)
        except _WrongError as wrong:
            status, body = wrong.status, {"error": str(wrong)}
        data = orjson.dumps(body)
        head = head_bytes(status, [("Content-Type", "application/json"), ("Content-Length", str(len(data)))])
        await connection.send(head + data)

    def _answer(self, request: Request, path: str) -> Any:
        route = self._routes.get((request.method, path))
        if route is None:
            known = ", ".join(f"{method} /_sim/{name}" for method, name in self._routes)
            raise _WrongError(404, f"no {request.method} /_sim/{path}; there are: {known}")
        try:
            fields = orjson.loads(request.body or b"{}")
        except orjson.JSONDecodeError as error:
            raise _WrongError(400, f"the body is not valid JSON: {error}") from None
        if not isinstance(fields, dict):
            raise _WrongError(400, "the body must be a JSON object")
        return route(fields)

    def _set_behaviour(self, fields: dict[str, Any]) -> Any:
        try:
            self._script.set(fields)
        except BehaviourError as error:
            raise _WrongError(400, str(error)) from None
        return self._script.shown()

    def _clear_behaviour(self, fields: dict[str, Any]) -> Any:
        _numbers(fields)
        self._script.clear()
        return self._script.shown()

    def _reset(self, fields: dict[str, Any]) -> Any:
        """Clear behaviours, books, requests and accounts, and restart ids and time."""
        numbers = _numbers(fields, "seed", "created")
        self._script.clear()
        self._clear_all_books()
        self._received.clear()
        self._account.forget()
        self._stamp.reset(numbers.get("seed"), numbers.get("created"))
        return {"seed": self._stamp.seed, "created": numbers.get("created")}

    def _move_clock(self, fields: dict[str, Any]) -> Any:
        self._stamp.advance(_numbers(fields, "advance_s").get("advance_s", 0))
        return {"now": self._stamp.now()}

    def _set_account(self, fields: dict[str, Any]) -> Any:
        numbers = _numbers({name: fields[name] for name in fields if name != "budgets"}, "total_credits_pusd")
        try:
            budgets = read_budgets(fields.get("budgets", []))
        except BudgetFieldError as error:
            raise _WrongError(400, str(error)) from None
        self._account.budgets = budgets
        self._account.total_credits_pusd = numbers.get("total_credits_pusd", self._account.total_credits_pusd)
        return {}

    def _keep_requests(self, fields: dict[str, Any]) -> Any:
        if fields.get("keep", DEFAULT_KEPT) == "all":
            self._received.keep(None)
        else:
            self._received.keep(_numbers(fields, "keep").get("keep", DEFAULT_KEPT))
        return {}

    def _clear_requests(self, fields: dict[str, Any]) -> Any:
        _numbers(fields)
        self._received.clear()
        return {}

    def _tell_generations(self, fields: dict[str, Any]) -> Any:
        _numbers(fields)
        return {"told": self._books.tell()}

    def _plant(self, fields: dict[str, Any]) -> Any:
        """Write generations into the books as they were made some time ago."""
        try:
            return {"planted": past.plant(self._books, self._account, self._stamp, fields)}
        except past.PastError as error:
            raise _WrongError(400, str(error)) from None

    def _change_charge(self, fields: dict[str, Any]) -> Any:
        """Charge another amount for a generation."""
        try:
            past.change_charge(self._books, self._account, fields)
        except past.PastError as error:
            raise _WrongError(400, str(error)) from None
        return {}

    def _clear_books(self, fields: dict[str, Any]) -> Any:
        _numbers(fields)
        self._clear_all_books()
        return {}

    def _clear_all_books(self) -> None:
        self._books.clear()
        for one in self._profiles.values():
            one.books.clear()


def _row(one: ServedPath) -> dict[str, Any]:
    """Show what a configuration needs of a profile: where it is served, its kind, its models with their prices."""
    profile = one.profile
    return {
        "title": profile.title,
        "path": profile.path,
        "address": profile.address,
        "kind": profile.kind,
        "api": profile.api,
        "models": {row.id: pricing_body(row.price) for row in profile.models},
        "failures": list(profile.failures),
    }


def _numbers(fields: dict[str, Any], *known: str) -> dict[str, int]:
    """Check that fields has whole numbers under known names only; null counts as left out."""
    for name, value in fields.items():
        if name not in known:
            raise _WrongError(400, f"field {name}: unknown; there are: {', '.join(known) or 'none'}")
        if value is not None and (not isinstance(value, int) or isinstance(value, bool) or value < 0):
            raise _WrongError(400, f"field {name}: must be a whole number of at least 0")
    return {name: value for name, value in fields.items() if value is not None}
