"""Late costs of a store in memory, by the protocol alone: what sqlite/adjustments.py does in SQL."""

from collections.abc import Sequence
from typing import Protocol

from msgspec.structs import replace

from proxy.storage.adjustment import AdjustedKey, AdjustmentFilter, AdjustmentRow, Booked, Correction, UnattachedCost
from proxy.storage.rows import OpenRow, RequestEnd, UnfinishedAttempt
from proxy.storage.spending_source import SpendingSource


class Corrected(Protocol):
    """A request as it was written."""

    row: OpenRow
    end: RequestEnd | None
    attempts: list[UnfinishedAttempt]
    late_pusd: int

    @property
    def state(self) -> str:
        """Return open, or how it ended."""
        ...

    @property
    def cost_pusd(self) -> int:
        """Return what is booked for it."""
        ...


class MemoryAdjustments:
    """The adjustments of a store, in the order in which they were booked."""

    def __init__(self) -> None:
        self.rows: list[AdjustmentRow] = []

    def correct(self, request: Corrected | None, wanted: Correction, now_ms: int) -> Booked:
        nothing = Booked(wanted.request_id, "missing", 0, 0, wanted.reason, wanted.source)
        if request is None:
            last = [row for row in self.rows if row.request_id == wanted.request_id][-1:]
            if last:
                [row] = last
                names: Sequence[str] = (row.user, row.group, row.model, row.provider, row.use_case, "", "")
                return self._write(replace(row, booked_pusd=row.booked_pusd + row.amount_pusd), names, wanted, now_ms)
            if wanted.removed is None:
                return nothing
            gone = wanted.removed
            row = self._row(wanted.request_id, gone.at_ms, gone.day, gone.booked_pusd, gone.charged)
            return self._write(row, gone.spending, wanted, now_ms)
        if request.state not in ("settled", "released"):
            return replace(nothing, how="open" if request.end is None else "pending")
        end, one = request.end, self._charged(request, wanted)
        assert end is not None
        charged = AdjustedKey(one.provider, one.key or "")
        row = self._row(wanted.request_id, request.row.started_ms, request.row.day, request.cost_pusd, charged)
        names = tuple(
            name or ""
            for name in (
                request.row.user,
                request.row.group_name,
                end.model,
                end.provider,
                request.row.use_case,
                request.row.groups_above,
                end.other_models,
            )
        )
        booked = self._write(replace(row, attempt=one.n), names, wanted, now_ms)
        request.late_pusd += booked.amount_pusd
        return booked

    def book_unattached(self, cost: UnattachedCost, now_ms: int) -> Booked:
        known = [row for row in self.rows if row.reference == cost.reference]
        earlier = [row.amount_pusd for row in known]
        at_ms, day, model, key = cost.at_ms, cost.day, cost.model, cost.key
        if known:
            first = known[0]
            at_ms, day, model, key = first.at_ms, first.day, first.model, first.charged_key or ""
        row = self._row(None, at_ms, day, sum(earlier), AdjustedKey(cost.provider, key))
        names = ("", "", model, cost.provider, "", "", "")
        booked = self._write(replace(row, reference=cost.reference), names, cost, now_ms)
        return replace(booked, is_new=not earlier and booked.amount_pusd > 0)

    def list_adjustments(self, wanted: AdjustmentFilter, before_id: int | None) -> list[AdjustmentRow]:
        return [
            row
            for row in reversed(self.rows)
            if (before_id is None or row.id < before_id)
            and wanted.request_id in (None, row.request_id)
            and wanted.user in (None, row.user)
            and wanted.provider in (None, row.provider)
            and wanted.key in (None, row.charged_key)
            and wanted.model in (None, row.model)
            and wanted.source in (None, row.source)
            and wanted.day in (None, row.day)
            and wanted.is_unattached in (None, row.request_id is None)
            and (wanted.since_ms is None or row.ts_ms >= wanted.since_ms)
            and (wanted.until_ms is None or row.ts_ms < wanted.until_ms)
        ]

    def _charged(self, request: Corrected, wanted: Correction) -> UnfinishedAttempt:
        def least_certain(one: UnfinishedAttempt) -> tuple[bool, bool, bool, int]:
            is_charge = one.cost_source in ("reservation", "estimate")
            return one.n == wanted.attempt, is_charge, bool(one.cost_pusd), one.n

        return max(request.attempts, key=least_certain)

    def _row(
        self, request_id: int | None, at_ms: int, day: str, booked_pusd: int, charged: AdjustedKey | None
    ) -> AdjustmentRow:
        provider, key = (None, None) if charged is None else (charged.provider, charged.key)
        texts = ("", "", None, "", "", "", "", "")
        return AdjustmentRow(0, request_id, None, at_ms, 0, day, booked_pusd, 0, *texts, provider, key)

    def _write(
        self, row: AdjustmentRow, names: Sequence[str], wanted: Correction | UnattachedCost, now_ms: int
    ) -> Booked:
        amount_pusd = wanted.actual_pusd - row.booked_pusd
        charged = None
        if row.charged_provider is not None and row.charged_key is not None:
            charged = AdjustedKey(row.charged_provider, row.charged_key)
        spending = SpendingSource._make(names)
        booked = Booked(
            row.request_id,
            "adjusted" if amount_pusd else "unchanged",
            row.booked_pusd,
            amount_pusd,
            wanted.reason,
            wanted.source,
            reference=row.reference,
            adjustment_id=len(self.rows) + 1 if amount_pusd else None,
            at_ms=row.at_ms,
            spending=spending,
            charged=charged,
            is_on_hour=row.attempt is None,
        )
        if amount_pusd:
            written = replace(
                row,
                id=len(self.rows) + 1,
                ts_ms=now_ms,
                amount_pusd=amount_pusd,
                reason=wanted.reason,
                source=wanted.source,
                user=spending.user,
                group=spending.group,
                model=spending.model,
                provider=spending.provider,
                use_case=spending.use_case,
            )
            self.rows.append(written)
        return booked
