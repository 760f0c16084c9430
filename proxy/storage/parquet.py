"""The rows of an export as Parquet, by pyarrow: an extra, for it is larger than everything else together.

Money in USD is an exact decimal of twelve places, in the local currency of twenty-two: those of a rate with ten.
"""

from collections.abc import Iterable, Iterator, Sequence
from decimal import ROUND_HALF_EVEN, Decimal
from typing import Any

from proxy.core.errors import SetupError
from proxy.policy.exchange_rates import EXACT, local_amount
from proxy.storage.export import KINDS, Chunk, Row, Slice

_ROWS_AT_ONCE = 50_000  # of a row group: some 20 MB as Python's values
_LOCAL_PLACES = Decimal(1).scaleb(-22)


class ParquetMissingError(SetupError):
    """pyarrow is not installed here."""

    def __init__(self) -> None:
        super().__init__(
            "Parquet needs the package pyarrow. Install it beside tollkeeper: pip install 'tollkeeper[parquet]'."
            " CSV and JSON lines need nothing more, and duckdb turns either into Parquet."
        )


def parquet_chunks(pieces: Iterable[Slice], columns: Sequence[str]) -> Iterator[Chunk]:
    """Yield a Parquet file, a row group at a time; raises ParquetMissingError at once where there is no pyarrow."""
    try:
        import pyarrow as pa  # noqa: PLC0415 - an extra, and it takes 100 ms
        from pyarrow import parquet  # noqa: PLC0415
    except ImportError:
        raise ParquetMissingError from None
    return _chunks(pa, parquet, pieces, columns)


def _chunks(pa: Any, parquet: Any, pieces: Iterable[Slice], columns: Sequence[str]) -> Iterator[Chunk]:
    schema = pa.schema([(name, _type(pa, name)) for name in columns])
    sink = _Sink()
    with parquet.ParquetWriter(sink, schema, compression="zstd") as writer:
        rows: list[Row] = []
        for piece in pieces:
            rows += piece.rows
            if len(rows) >= _ROWS_AT_ONCE:
                writer.write_table(_table(pa, schema, rows))
                yield Chunk(sink.take(), len(rows), piece.done)
                rows = []
        if rows:
            writer.write_table(_table(pa, schema, rows))
    yield Chunk(sink.take(), len(rows), 1.0)


class _Sink:
    """What the writer takes for a file: keeps what was written until it is taken."""

    def __init__(self) -> None:
        self._pieces: list[bytes] = []
        self.closed = False

    def write(self, data: bytes) -> int:
        self._pieces.append(bytes(data))
        return len(data)

    def flush(self) -> None:
        """Do nothing: whoever takes the bytes writes them."""

    def close(self) -> None:
        self.closed = True

    def take(self) -> bytes:
        data = b"".join(self._pieces)
        self._pieces.clear()
        return data


def _type(pa: Any, name: str) -> Any:
    match name, KINDS[name]:
        case "ts", _:
            return pa.timestamp("ms", tz="UTC")
        case "day", _:
            return pa.date32()
        case _, "integer":
            return pa.int64()
        case _, "usd":
            return pa.decimal128(24, 12)
        case _, "local":
            return pa.decimal128(38, 22)
        case _:
            return pa.string()


def _table(pa: Any, schema: Any, rows: Sequence[Row]) -> Any:
    arrays = []
    for field, values in zip(schema, zip(*rows, strict=True), strict=True):
        is_text = field.name in ("ts", "day")
        array = pa.array(_values(field.name, values), type=pa.string() if is_text else field.type)
        arrays.append(array.cast(field.type) if is_text else array)
    return pa.Table.from_arrays(arrays, schema=schema)


def _values(name: str, values: Sequence[Any]) -> Sequence[Any]:
    match KINDS[name]:
        case "usd":
            return [None if pusd is None else Decimal(pusd).scaleb(-12) for pusd in values]
        case "local":
            return [None if cell is None else _local(cell) for cell in values]
        case _:
            return values


def _local(cell: str) -> Decimal:
    pusd, _, rate = cell.partition(" ")
    return local_amount(int(pusd), rate).quantize(_LOCAL_PLACES, ROUND_HALF_EVEN, EXACT)
