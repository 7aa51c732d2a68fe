import json
import subprocess
import sys
from pathlib import Path

import pytest

from aifeedback.errors import InputError, SettingsError
from aifeedback.records import PA, Order, Verdict
from aifeedback.report.entries import shared_out
from aifeedback.report.writing import Request, write_report


def _line(number: int, gold: str = "", verdicts: tuple[str, ...] = ("ab", "ba")) -> dict[str, object]:
    said = [{"critic": "x/y", "order": order, "sample": 0, "p_a": 1.0, "reason": ""} for order in verdicts]
    return {
        "id": str(number), "prompt": "q", "chosen": "an answer", "rejected": "no answer", "preference": 1.0,
        "feedback": {"winner": "a", "p_a": 1.0, "agreed": True, "critic": "x/y", "verdicts": said, "gold": gold}, "meta": {},
    }  # fmt: skip


def _tie(number: int, gold: str) -> dict[str, object]:
    pair = {"id": str(number), "prompt": "q", "response_a": "x", "response_b": "y", "gold": gold}
    return {"id": str(number), "file": "p", "line": number, "status": "conflict", "reason": "the two orders disagree", "pair": pair, "raw": "", "feedback": {}}  # fmt: skip


def _files(folder: Path, labels: list[dict[str, object]], rest: list[dict[str, object]] | None) -> str:
    for name, rows in (("labels.jsonl", labels), ("labels.rest.jsonl", rest)):
        if rows is not None:
            (folder / name).write_text("".join(json.dumps(row) + "\n" for row in rows))
    return str(folder / "labels.jsonl")


@pytest.mark.parametrize("labelled", [0, 40])
def test_a_page_is_made_where_no_pair_with_gold_has_a_label(tmp_path: Path, labelled: int) -> None:
    labels = _files(tmp_path, [_line(n) for n in range(labelled)], [_tie(n, "a") for n in range(3)])
    write_report(Request(labels, output=str(tmp_path / "r.html")))
    assert "Right where it gave a label" not in (tmp_path / "r.html").read_text()


def test_without_the_rest_or_with_few_pairs_nothing_is_called_free_of_bias(tmp_path: Path) -> None:
    pages = []
    for name, count, rest in (("few", 3, []), ("no rest", 40, None), ("one order", 40, [])):
        folder = tmp_path / name
        folder.mkdir()
        orders = ("ab",) if name == "one order" else ("ab", "ba")
        labels = _files(folder, [_line(n, verdicts=orders) for n in range(count)], rest)
        write_report(Request(labels, output=str(folder / "r.md"), markdown=True))
        pages.append((folder / "r.md").read_text())
    few, no_rest, one_order = pages
    assert "Whether there is a bias can" in few
    assert "No bias that is more than chance" not in few
    assert "the rest file is not here" in no_rest
    assert "Looked at: the place" not in one_order


def test_a_summary_beside_the_labels_is_never_overwritten(tmp_path: Path) -> None:
    labels = _files(tmp_path, [_line(1)], [])
    summary = tmp_path / "labels.summary.json"
    summary.write_text('{"labeled": 1}')
    with pytest.raises(SettingsError, match="also the input"):
        write_report(Request(labels, output=str(summary), markdown=True))
    assert summary.read_text() == '{"labeled": 1}'


def test_no_labelled_line_is_counted_twice(tmp_path: Path) -> None:
    labels = _files(tmp_path, [_line(1)], [_line(2)])
    with pytest.raises(InputError, match=r"labels\.rest\.jsonl, line 1: a labelled pair"):
        write_report(Request(labels, markdown=True))
    with pytest.raises(SettingsError, match="--rest"):
        write_report(Request(labels, rest=labels, markdown=True))


def test_of_many_verdicts_both_orders_are_shown() -> None:
    verdicts = [Verdict("x/y", order, n, PA(1.0)) for order in Order for n in range(20)]
    kept = shared_out(verdicts, 24)
    assert [sum(verdict.order is order for verdict in kept) for order in Order] == [12, 12]
    assert shared_out(verdicts, 100) == verdicts


def test_a_reader_of_the_page_that_has_seen_enough_is_no_failure(tmp_path: Path) -> None:
    labels = _files(tmp_path, [{**_line(n), "prompt": "q" * 4000} for n in range(60)], [])
    command = [sys.executable, "-m", "aifeedback", "report", labels]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        assert process.stdout.read(10) == b"<!doctype "
        process.stdout.close()
        assert process.stderr.read() == b""
    assert process.returncode == 0
