"""`aifeedback report`: one page about a labelled file."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, cast

import typer

if TYPE_CHECKING:
    from aifeedback.cli.main import Common

EPILOG = """Examples:

  aifeedback report labels.jsonl -o report.html

  aifeedback report labels.jsonl --summary summary.json --markdown >> "$GITHUB_STEP_SUMMARY"

Exit codes: 0 done, 2 not a labelled file. What the page shows: docs/report.md."""


def report(
    ctx: typer.Context,
    *,
    labels: Annotated[str, typer.Argument(metavar="LABELS", help="What aifeedback label wrote; - is stdin.")],
    rest: Annotated[
        str, typer.Option(metavar="FILE", help="The pairs without a label; default: NAME.rest.jsonl beside LABELS.")
    ] = "",
    summary: Annotated[
        str,
        typer.Option(
            metavar="FILE",
            help="The run's summary, for cost and manifest; default: NAME.summary.json or summary.json beside LABELS, if it counts the same.",
        ),
    ] = "",
    output: Annotated[str, typer.Option("--output", "-o", metavar="PATH", help="Where to; - is stdout.")] = "-",
    markdown: Annotated[bool, typer.Option("--markdown", help="The figures as Markdown, for CI.")] = False,
    seed: Annotated[int, typer.Option(help="Draws the pairs of a page that can't hold all.")] = 0,
) -> int:
    """One self-contained page about a labelled file: what became of the pairs, what biases the labels, and the pairs.

    Works without a network, in light and dark, and on paper. --markdown writes the same figures as text.
    """
    from aifeedback.cli.flags import inputs_of
    from aifeedback.report.writing import Request, write_report

    if labels == "-":
        inputs_of(None, "report")
    common = cast("Common", ctx.obj)
    written = write_report(Request(labels, rest, summary, output, markdown, seed))
    for note in written.notes:
        common.screen.note(note)
    if output != "-":
        pairs = (
            f"all {written.pairs:,}" if written.pairs == written.shown else f"{written.shown:,} of {written.pairs:,}"
        )
        what = f"the figures of {written.pairs:,}" if markdown else pairs
        common.screen.remark(f"{output} holds {what} pairs, {written.size / 1e6:.1f} MB.")
    return 0
