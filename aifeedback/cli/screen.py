"""What a person or a log sees of a run: notes, progress, the summary table and errors, all on stderr."""

from __future__ import annotations

import os
import shutil
import sys
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from aifeedback.labeling import Progress
    from aifeedback.summary import Tally

_PLAIN_EVERY_S = 10.0


@dataclass(slots=True)
class Screen:
    """How much is said and in which form: `--quiet`, `-v`, `--debug`, `--log-json`."""

    quiet: bool = False
    verbose: bool = False
    debug: bool = False
    log_json: bool = False

    def note(self, text: str) -> None:
        """Say something worth knowing."""
        if self.log_json:
            self._event("note", text=text)
        elif not self.quiet:
            self.line(f"Note: {text}")

    def error(self, text: str) -> None:
        """Say what went wrong; said even when quiet."""
        if self.log_json:
            self._event("error", text=text)
        else:
            self.line(f"Error: {text}")

    def line(self, text: str) -> None:
        """One line, on stderr; nobody may be left to read it. A server's words in it must not steer a terminal."""
        try:
            sys.stderr.write("".join(c if c.isprintable() or c == "\n" else " " for c in text) + "\n")
            sys.stderr.flush()
        except OSError:
            pass

    def _event(self, event: str, **fields: object) -> None:
        import json

        self.line(json.dumps({"event": event, "time": round(time.time(), 3), **fields}))

    @contextmanager
    def progress(self, progress: Progress, tally: Tally) -> Iterator[None]:
        """Show how far the run is: a bar on a terminal, elsewhere one plain line every 10 s."""
        if self.quiet:
            yield
            return
        over = threading.Event()
        terminal = sys.stderr.isatty() and not self.log_json and os.environ.get("TERM") != "dumb"
        draw = _draw_bar if terminal else self._write_lines
        thread = threading.Thread(target=draw, args=(progress, tally, over), daemon=True)
        thread.start()
        try:
            yield
        finally:
            over.set()
            thread.join(2.0)

    def _write_lines(self, progress: Progress, tally: Tally, over: threading.Event) -> None:
        while not over.wait(_PLAIN_EVERY_S):
            if self.log_json:
                self._event(
                    "progress",
                    read=progress.read,
                    settled=progress.settled,
                    labeled=tally.labeled,
                    sent=progress.spending.sent,
                    cost_usd=progress.spending.cost_usd,
                    projected_usd=_rounded(progress.projected_usd()),
                )
            else:
                more = "" if progress.input_done else "+"
                self.line(
                    f"{progress.settled} of {progress.read}{more} pairs done, {tally.labeled} labelled, {progress.spending.sent} requests{_cost(progress)}"
                )

    def remark(self, text: str) -> None:
        """Say what belongs to the result and is no note: a finding, a warning about the data."""
        if self.log_json:
            self._event("remark", text=text)
        elif not self.quiet:
            self.line(text)

    @contextmanager
    def following(self, line: Callable[[], str], figures: Callable[[], Mapping[str, object]]) -> Iterator[None]:
        """Show one line about a run that goes on: on a terminal rewritten in place, elsewhere again every 10 s."""
        if self.quiet:
            yield
            return
        over = threading.Event()
        terminal = sys.stderr.isatty() and not self.log_json and os.environ.get("TERM") != "dumb"

        def follow() -> None:
            while not over.wait(0.5 if terminal else _PLAIN_EVERY_S):
                if self.log_json:
                    self._event("progress", **figures())
                elif terminal:
                    _rewrite(line())
                else:
                    self.line(line())
            if terminal:
                _rewrite("")

        thread = threading.Thread(target=follow, daemon=True)
        thread.start()
        try:
            yield
        finally:
            over.set()
            thread.join(2.0)

    def facts(self, facts: Mapping[str, str]) -> None:
        """A small table of what came out."""
        if self.log_json:
            self._event("summary", **facts)
        elif not self.quiet:
            _print_rows(facts.items())

    def summary(self, summary: Mapping[str, object], places: Mapping[str, str]) -> None:
        """The table at the end, and where the outputs lie."""
        if self.log_json:
            self._event("summary", **summary)
        elif not self.quiet:
            _print_table(summary, places)

    def evaluation(self, report: Mapping[str, object], places: Mapping[str, str]) -> None:
        """What `evaluate` found, and where the outputs lie."""
        if self.log_json:
            self._event("summary", **report)
        elif not self.quiet:
            from aifeedback.cli.evaluation_table import show

            show(report, places, self.line)


def _draw_bar(progress: Progress, tally: Tally, over: threading.Event) -> None:
    from rich.console import Console
    from rich.progress import BarColumn, TextColumn, TimeElapsedColumn, TimeRemainingColumn
    from rich.progress import Progress as Bar

    columns = (
        TextColumn("{task.completed} of {task.fields[read]} pairs"),
        BarColumn(),
        TextColumn("{task.fields[labeled]} labelled, {task.fields[sent]} requests{task.fields[cost]}"),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
    )
    with Bar(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task("label", total=None, read="0+", labeled=0, sent=0, cost="")
        while not over.wait(0.2):
            read = progress.read
            bar.update(
                task,
                completed=progress.settled,
                total=read if progress.input_done else None,
                read=f"{read}" if progress.input_done else f"{read}+",
                labeled=tally.labeled,
                sent=progress.spending.sent,
                cost=_cost(progress),
            )


def _cost(progress: Progress) -> str:
    """What was spent so far, and what it will come to; nothing where nothing is known or to be paid."""
    from aifeedback.prices import in_dollars

    cost, projected = progress.spending.cost_usd, progress.projected_usd()
    if not cost:
        return ""
    return f", {in_dollars(cost)}" + (f" of about {in_dollars(projected)}" if projected else "")


def _rounded(amount: float | None) -> float | None:
    return None if amount is None else round(amount, 9)


def _rewrite(text: str) -> None:
    """Put `text` in place of what the last line of the terminal says."""
    width = shutil.get_terminal_size().columns - 1
    sys.stderr.write(f"\r\x1b[2K{text[:width]}")
    sys.stderr.flush()


def _print_table(summary: Mapping[str, object], places: Mapping[str, str]) -> None:
    _print_rows((*_table_rows(summary), *places.items()))


def _print_rows(rows: Iterable[tuple[str, str]]) -> None:
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, show_header=False, pad_edge=False)
    table.add_column(style="bold")
    table.add_column(overflow="fold")
    for name, value in rows:
        table.add_row(name, Text(value))  # a path or a model's name may look like markup
    console = Console(stderr=True, highlight=False, width=None if sys.stderr.isatty() else 120)
    console.print(table)


def _table_rows(summary: Mapping[str, object]) -> Iterator[tuple[str, str]]:
    manifest = _mapping(summary["manifest"])
    strong = f", in doubt {manifest['escalate_to']}" if manifest["escalate_to"] else ""
    yield "critic", f"{manifest['critic']}{strong}, asked by {manifest['template']} for {manifest['criteria']!r}"
    yield "pairs read", str(summary["read"])
    yield "  labelled", str(summary["labeled"])
    for status in (
        "tie",
        "conflict",
        "weak",
        "length",
        "unparsed",
        "refused",
        "too_long",
        "failed",
        "unasked",
        "invalid",
    ):
        if summary[status]:
            yield f"  {status}", str(summary[status])
    requests, tokens = _mapping(summary["requests"]), _mapping(summary["tokens"])
    yield (
        "requests",
        f"{requests['sent']} sent ({requests['retried']} retried), {requests['from_store']} from the store",
    )
    if tokens["input"] or tokens["output"]:
        yield (
            "tokens",
            f"{tokens['input']} in ({tokens['cached']} cached), {tokens['output']} out ({tokens['reasoning']} reasoning)",
        )
    if summary["cost_usd"] is not None:
        from aifeedback.prices import in_dollars

        unsure = _number(summary["cost_unsure_usd"])
        perhaps = f", and up to {in_dollars(unsure)} for requests that may have been billed" if unsure else ""
        yield "cost", in_dollars(_number(summary["cost_usd"])) + perhaps
    for name, words in (
        ("consistency", "both orders agree"),
        ("first_shown_rate", "first shown wins (50 is fair)"),
        ("longer_chosen_rate", "longer one chosen"),
        ("same_family_rate", "own family chosen"),
    ):
        if summary[name] is not None:
            yield words, _rate(summary[name], summary[f"{name}_ci"])
        if name == "consistency":
            yield from _critic_rows(summary)
    yield from _panel_rows(summary)
    if summary["agreement"] is not None:
        agreement = _mapping(summary["agreement"])
        kappa = "" if agreement["kappa"] is None else f", kappa {_number(agreement['kappa']):.2f}"
        yield (
            "agrees with gold",
            f"{_rate(agreement['accuracy'], agreement['accuracy_ci'])} of {agreement['n']}, no label counting as wrong",
        )
        if agreement["accuracy_decided"] is not None:
            yield "  where labelled", f"{100 * _number(agreement['accuracy_decided']):.1f}%{kappa}"
    yield "seconds", str(summary["seconds"])


def _critic_rows(summary: Mapping[str, object]) -> Iterator[tuple[str, str]]:
    critics = summary["critics"]
    assert isinstance(critics, list), "the summary holds a list here"
    for critic in critics:
        if critic["consistency"] is not None:
            unread = sum(count for status, count in critic["verdicts"].items() if status != "read")
            more = f", {unread} verdicts missing" if unread else ""
            yield f"  {critic['critic']}", _rate(critic["consistency"], critic["consistency_ci"]) + more


def _panel_rows(summary: Mapping[str, object]) -> Iterator[tuple[str, str]]:
    if summary["critics_alpha"] is not None:
        yield (
            "critics agree",
            f"{_number(summary['critics_alpha']):.3f} (Krippendorff's alpha; 1 is always, 0 by chance)",
        )
    if summary["escalation"] is not None:
        escalation = _mapping(summary["escalation"])
        saved = ""
        if escalation["saved_usd"] is not None:
            from aifeedback.prices import in_dollars

            usd = _number(escalation["saved_usd"])
            saved = f", {in_dollars(abs(usd))} {'saved' if usd >= 0 else 'more'}"
        labelled = f"{escalation['asked']} pairs, {escalation['settled']} of them labelled by it"
        alone = f"{escalation['requests']} of the {escalation['requests_alone']} requests that it alone would take"
        yield "escalated", f"{labelled}; {alone}{saved}"


def _rate(value: object, interval: object) -> str:
    low, high = interval if isinstance(interval, tuple | list) else (0.0, 1.0)
    return f"{100 * _number(value):.1f}% (95% interval {100 * low:.1f}-{100 * high:.1f})"


def _number(value: object) -> float:
    assert isinstance(value, int | float), "the summary holds numbers here"
    return value


def _mapping(value: object) -> Mapping[str, object]:
    assert isinstance(value, Mapping), "the summary holds an object here"
    return value
