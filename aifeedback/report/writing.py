"""A labelled file in, its report out: the files are read once, the page appears whole."""

from __future__ import annotations

import heapq
import re
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from aifeedback.errors import InputError, SettingsError
from aifeedback.jsontext import loads
from aifeedback.labelled_files import lines_in, rest_of
from aifeedback.publish import STDOUT, check_distinct, open_output
from aifeedback.records import Invalid, Label, Status
from aifeedback.report.account import Account
from aifeedback.report.entries import SHORT, WHOLE, entry
from aifeedback.report.facts import Facts
from aifeedback.report.kinds import contest, kinds_of, stratum
from aifeedback.report.markdown import markdown
from aifeedback.report.page import Shown, render
from aifeedback.report.sampling import Sample

PAIRS_ROOM = 4_500_000
"""Bytes of a page that are for its pairs: with all else it stays below 5 MB."""
NEEDS = "the page needs matplotlib and markupsafe, which are not installed. Run: pip install 'aifeedback[report]'. --markdown does without."


@dataclass(frozen=True, slots=True)
class Request:
    """What to report on, and where to. `rest` and `summary` `""`: those that lie beside `labels`, if any do."""

    labels: str
    rest: str = ""
    summary: str = ""
    output: str = STDOUT
    markdown: bool = False
    seed: int = 0


@dataclass(frozen=True, slots=True)
class Written:
    """What a report was made of, and what is worth telling."""

    pairs: int
    shown: int
    size: int
    notes: tuple[str, ...]


def write_report(request: Request) -> Written:
    """Read, count and write. Raises InputError, SettingsError and OutputError."""
    rest = request.rest or rest_of(request.labels)
    check_distinct([request.labels, *filter(None, [rest, request.summary])], [("-o", request.output)])
    if not request.markdown:
        _check_installed()
    account, sample, top = Account(), Sample(PAIRS_ROOM, seed=request.seed), MostContested()
    for label, line in lines_in(request.labels, rest):
        value = line.get("feedback")
        feedback = value if isinstance(value, Mapping) else {}
        account.add(label, feedback)
        if request.markdown:
            top.add(label)
        else:
            _offer(sample, label, feedback)
    summary, notes = _summary(request, account)
    name = "stdin" if request.labels == STDOUT else Path(request.labels).name
    facts = Facts(name, account, summary, rest=bool(rest) or account.tally.read > account.tally.labeled)
    if request.markdown:
        page, here = markdown(facts, top.labels()), len(top.labels())
    else:
        shown = _shown(sample, account, request.seed)
        page, here = render(facts, shown), len(shown.entries)
    data = page.encode()
    output = open_output(request.output)
    try:
        output.write([data.removesuffix(b"\n")])
        output.finish()
    finally:
        output.discard()
    return Written(account.tally.read, here, len(data), tuple(notes))


class MostContested:
    """The few labels that are most contested, of equals the first."""

    def __init__(self, most: int = 5) -> None:
        self._most = most
        self._heap: list[tuple[float, int, Label]] = []
        self._added = 0

    def add(self, label: Label | Invalid) -> None:
        """Offer one."""
        self._added += 1
        contested = contest(label)
        if isinstance(label, Invalid) or contested <= 0:
            return
        heapq.heappush(self._heap, (contested, -self._added, label))
        if len(self._heap) > self._most:
            heapq.heappop(self._heap)

    def labels(self) -> list[Label]:
        """The most contested first."""
        return [label for _, _, label in sorted(self._heap, key=lambda kept: kept[:2], reverse=True)]


def _offer(sample: Sample, label: Label | Invalid, feedback: Mapping[str, object]) -> None:
    kinds: tuple[str, ...] = ()
    if not isinstance(label, Invalid):
        flagged = feedback.get("length_flagged") is True
        kinds = kinds_of(label, str(feedback.get("critic") or ""), flagged=flagged)
    trouble, kind = stratum(label, kinds)
    sample.add(kind, partial(entry, label, kinds, WHOLE), partial(entry, label, kinds, SHORT), trouble=trouble)


def _shown(sample: Sample, account: Account, seed: int) -> Shown:
    entries = sample.entries()
    statuses = {status.value for status in Status}
    by_status = Counter(kind if kind in statuses else "labeled" for kind, _ in entries)
    counts = account.tally.counts()
    return Shown(
        [text for _, text in entries],
        by_status,
        {name: n for name, n in counts.items() if name != "read"},
        sample.complete,
        seed,
    )


def _summary(request: Request, account: Account) -> tuple[Mapping[str, object] | None, list[str]]:
    """The run's summary: the one that is named, else one beside the labels that counts the same."""
    if request.summary:
        summary = _read_summary(request.summary)
        labelled = summary.get("labeled")
        if labelled != account.tally.labeled:
            return summary, [
                f"{request.summary} counts {labelled} labelled pairs, {request.labels} holds {account.tally.labeled}: it may be of another run."
            ]
        return summary, []
    if request.labels == STDOUT:
        return None, []
    path = Path(request.labels)
    stem = re.sub(r"(\.jsonl|\.json|\.ndjson)?(\.gz)?$", "", path.name)
    for beside in (path.with_name(f"{stem}.summary.json"), path.with_name("summary.json")):
        if not beside.is_file():
            continue
        try:
            summary = _read_summary(str(beside))
        except InputError:
            continue
        if summary.get("labeled") == account.tally.labeled:
            return summary, [f"{beside} is taken for the run's summary, as it counts the same."]
    return None, []


def _read_summary(path: str) -> Mapping[str, object]:
    try:
        value = loads(Path(path).read_bytes())[0]
    except OSError as error:
        raise InputError(f"{(error.strerror or 'unreadable').lower()}. Check the path.", file=path) from error
    except ValueError as error:
        raise InputError(f"{error} Name the file that label --summary wrote.", file=path) from error
    if not isinstance(value, Mapping) or "labeled" not in value:
        raise InputError("this is no summary of a run. Name the file that label --summary wrote.", file=path)
    return value


def _check_installed() -> None:
    """Before minutes of reading."""
    try:
        import markupsafe  # noqa: F401
        import matplotlib  # noqa: F401, ICN001
    except ModuleNotFoundError as error:
        raise SettingsError(NEEDS) from error
