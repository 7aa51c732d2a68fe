"""Rows come out in input order, however they came in, and what waits takes little memory."""

from __future__ import annotations

import tempfile
import tracemalloc
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import IO

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aifeedback import ordered
from aifeedback.errors import OutputError
from aifeedback.ordered import Ordered, Row


def row(number: int, size: int = 10) -> Row:
    return Row(b"%d," % number + b"x" * size, labelled=number % 2 == 0, meta_shape=-number, votes=number % 3 == 0)


@pytest.fixture
def rows() -> Iterator[Ordered]:
    with closing(Ordered()) as opened:
        yield opened


@pytest.fixture
def files(monkeypatch: pytest.MonkeyPatch) -> list[IO[bytes]]:
    """The temporary files that are made."""
    made: list[IO[bytes]] = []
    make: Callable[..., IO[bytes]] = tempfile.TemporaryFile

    def remember(*args: object, **kwargs: object) -> IO[bytes]:
        made.append(make(*args, **kwargs))
        return made[-1]

    monkeypatch.setattr(tempfile, "TemporaryFile", remember)
    return made


def drain(rows: Ordered) -> list[Row]:
    """Everything that is ready by now."""
    end = rows.complete()
    found: list[Row] = []
    while some := rows.take(end):
        found += some
    return found


@given(st.data())
def test_any_permutation_comes_out_in_order(data: st.DataObject):
    sizes = data.draw(st.lists(st.sampled_from([0, 10, 300, 2000]), max_size=40))
    wanted = [row(number, size) for number, size in enumerate(sizes)]
    with closing(Ordered()) as rows, pytest.MonkeyPatch.context() as patch:
        patch.setattr(ordered, "_IN_MEMORY", data.draw(st.sampled_from([1, 1000, 5000, 10**6])))
        taken: list[Row] = []
        for index in data.draw(st.permutations(range(len(wanted)))):
            rows.put(index, wanted[index])
            if data.draw(st.booleans()):
                taken += drain(rows)
        taken += drain(rows)
    assert taken == wanted


def test_nothing_comes_out_before_the_head_is_in(rows: Ordered):
    rows.put(1, row(1))
    rows.put(3, row(3))
    assert rows.complete() == 0
    assert rows.take(0) == []
    rows.put(0, row(0))
    assert rows.complete() == 2
    rows.put(2, row(2))
    assert rows.take(2) == [row(0), row(1)]
    assert drain(rows) == [row(2), row(3)]
    assert drain(rows) == []


def test_what_is_small_stays_in_memory(rows: Ordered, files: list[IO[bytes]]):
    for number in reversed(range(1000)):
        rows.put(number, row(number, 1000))
    assert files == []
    assert drain(rows) == [row(number, 1000) for number in range(1000)]


def test_what_waits_behind_a_slow_head_goes_to_disk_above_sixteen_megabytes(rows: Ordered, files: list[IO[bytes]]):
    size, count = 100_000, 600
    tracemalloc.start()
    try:
        for number in range(1, count):
            rows.put(number, row(number, size))
        (file,) = files
        assert 40e6 < file.seek(0, 2) < 44e6
        rows.put(0, row(0, size))
        end, seen = rows.complete(), 0
        while some := rows.take(end):
            assert [each.data[:4].split(b",")[0] for each in some] == [b"%d" % n for n in range(seen, seen + len(some))]
            assert all(each == row(seen + place, size) for place, each in enumerate(some))
            seen += len(some)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert seen == count
    assert peak < 36e6
    assert file.seek(0, 2) == 0


def test_many_small_rows_take_little_memory_too(rows: Ordered, files: list[IO[bytes]]):
    for number in range(1, 100_000):
        rows.put(number, Row(b"", labelled=False))
    assert len(files) == 1
    rows.put(0, Row(b"head", labelled=True))
    assert drain(rows) == [Row(b"head", labelled=True), *[Row(b"", labelled=False)] * 99_999]


def test_the_memory_of_what_was_taken_is_free_again(rows: Ordered, files: list[IO[bytes]]):
    for turn in range(5):
        for number in reversed(range(100)):
            rows.put(100 * turn + number, row(number, 100_000))
        assert len(drain(rows)) == 100
    assert files == []


def test_the_row_that_is_next_is_never_sent_to_disk(rows: Ordered, files: list[IO[bytes]]):
    for number in range(5):
        rows.put(number, row(number, 20_000_000))
        assert len(drain(rows)) == 1
    assert files == []


def test_the_temporary_file_is_used_again_and_closed_at_the_end(files: list[IO[bytes]]):
    rows = Ordered()
    for turn in range(3):
        for number in reversed(range(4)):
            rows.put(4 * turn + number, row(number, 9_000_000))
        (file,) = files
        assert file.seek(0, 2) > 0
        assert drain(rows) == [row(number, 9_000_000) for number in range(4)]
        assert file.seek(0, 2) == 0
    rows.close()
    assert files[0].closed
    Ordered().close()


def test_a_full_disk_is_an_error_of_one_line(monkeypatch: pytest.MonkeyPatch):
    if not Path("/dev/full").exists():
        pytest.skip("no /dev/full here")
    with open("/dev/full", "w+b", buffering=0) as full, closing(Ordered()) as rows:
        monkeypatch.setattr(tempfile, "TemporaryFile", lambda **_: full)
        rows.put(1, row(1, 16_000_000))
        with pytest.raises(OutputError, match="TMPDIR") as caught:
            rows.put(2, row(2, 1_000_000))
    assert "No space left on device" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_temporary_folder_that_is_gone_is_one_too(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "gone"))
    with closing(Ordered()) as rows:
        rows.put(1, row(1, 16_000_000))
        with pytest.raises(OutputError, match="gone"):
            rows.put(2, row(2, 1_000_000))
