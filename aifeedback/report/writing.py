"""A labelled file in, its report out: the files are read once, the page appears whole."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from aifeedback.errors import SettingsError
from aifeedback.labelled_files import lines_in, rest_of
from aifeedback.publish import STDOUT, check_distinct, open_output
from aifeedback.records import Invalid, Label, Status
from aifeedback.report.account import Account
from aifeedback.report.contested import MostContested
from aifeedback.report.entries import SHORT, WHOLE, entry
from aifeedback.report.facts import Facts
from aifeedback.report.kinds import kinds_of, stratum
from aifeedback.report.markdown import markdown
from aifeedback.report.page import Shown, render
from aifeedback.report.run_summary import summaries_beside, summary_of
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
    check_distinct([request.labels], [("--rest", rest)])
    read = [request.summary] if request.summary else summaries_beside(request.labels)
    check_distinct([request.labels, *filter(None, [rest]), *read], [("-o", request.output)])
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
    summary, notes = summary_of(request.labels, request.summary, account.tally.labeled)
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


def _check_installed() -> None:
    """Before minutes of reading."""
    try:
        import markupsafe  # noqa: F401
        import matplotlib  # noqa: F401, ICN001
    except ModuleNotFoundError as error:
        raise SettingsError(NEEDS) from error
