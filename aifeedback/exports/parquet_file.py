"""A Parquet file, written row group by row group; the same rows are the same bytes."""

from __future__ import annotations

import io
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from aifeedback.errors import SettingsError
from aifeedback.exports.format import Row
from aifeedback.publish import Output

if TYPE_CHECKING:
    from collections.abc import Iterator

_GROUP = 1000


def check_installed() -> None:
    """Raise SettingsError where pyarrow is missing."""
    try:
        import pyarrow.parquet  # noqa: F401 - only whether it is there
    except ImportError as error:
        raise SettingsError(f"Parquet needs {error.name}. Install it: pip install 'aifeedback[export]'") from error


class Table:
    """Rows as a table. Its columns are typed by the first row: text, numbers, or lists of messages."""

    def __init__(self, output: Output) -> None:
        self._output = output
        self._held: list[Row] = []
        self._writer: Any = None

    def add(self, rows: Sequence[Row]) -> None:
        """Take rows."""
        self._held += rows
        if len(self._held) >= _GROUP:
            self._flush()

    def close(self) -> None:
        """Write the last of them and the footer."""
        self._flush()
        if self._writer is not None:
            self._writer.close()

    def _flush(self) -> None:
        import pyarrow as pa
        import pyarrow.parquet as pq

        if not self._held:
            return
        if self._writer is None:
            schema = pa.schema([(name, _type(value)) for name, value in self._held[0].items()])
            self._writer = pq.ParquetWriter(_Bytes(self._output), schema, compression="zstd")
        group, self._held = self._held, []
        self._writer.write_table(pa.Table.from_pylist(group, schema=self._writer.schema), row_group_size=_GROUP)


def _type(value: object) -> Any:  # noqa: ANN401 - pyarrow has no types
    import pyarrow as pa

    if isinstance(value, str):
        return pa.string()
    if isinstance(value, float):
        return pa.float64()
    return pa.list_(pa.struct([("role", pa.string()), ("content", pa.string())]))


class _Bytes(io.RawIOBase):
    """An output as the file that pyarrow writes to."""

    def __init__(self, output: Output) -> None:
        self._output = output
        self._at = 0

    def writable(self) -> bool:
        return True

    def write(self, data: Any) -> int:  # noqa: ANN401 - whatever has bytes
        sent = bytes(data)
        self._output.send(sent)
        self._at += len(sent)
        return len(sent)

    def tell(self) -> int:
        return self._at


def rows_of(path: str) -> Iterator[Row]:
    """The rows of a Parquet file, a few at a time. Raises SettingsError without pyarrow, ValueError for no such file."""
    check_installed()
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        with pq.ParquetFile(path) as file:
            for batch in file.iter_batches(_GROUP):
                yield from batch.to_pylist()
    except pa.ArrowException as error:
        raise ValueError(f"no Parquet file that can be read: {error}") from error
