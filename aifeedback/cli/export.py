"""`aifeedback export`: the same labels in each trainer's own format."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Annotated, Literal, cast

import typer

from aifeedback.errors import SettingsError

if TYPE_CHECKING:
    from aifeedback.cli.main import Common

EPILOG = """Examples:

  aifeedback export labels.jsonl --to openai --min-preference 0.8 -o openai.jsonl

  aifeedback export labels.jsonl --to trl-reward -o reward.jsonl --split train=0.9,test=0.1

Exit codes: 0 all is written (with --check: nothing is wrong), 2 nothing is (something is wrong). Each format: docs/exports.md."""


def export(
    ctx: typer.Context,
    *,
    labels: Annotated[
        str | None, typer.Argument(metavar="LABELS", help="A labelled file, .gz too; - or nothing is stdin.")
    ] = None,
    to: Annotated[
        Literal[
            "trl",
            "trl-implicit",
            "trl-kto",
            "trl-reward",
            "openai",
            "axolotl",
            "llamafactory",
            "openrlhf",
            "halos",
            "hh",
            "parquet",
            "hub",
        ]
        | None,
        typer.Option(help="The format; openai is Together's and Fireworks' too."),
    ] = None,
    output: Annotated[str, typer.Option("--output", "-o", metavar="PATH", help="The file; - is stdout.")] = "-",
    min_preference: Annotated[
        float, typer.Option(min=0.5, max=1.0, metavar="P", help="Leave out pairs of which the critic was less sure.")
    ] = 0.5,
    split: Annotated[
        str, typer.Option(metavar="NAME=SHARE,…", help="Several files, no prompt in two: train=0.9,test=0.1.")
    ] = "",
    seed: Annotated[int, typer.Option(metavar="N", help="Draws the split.")] = 0,
    keep_feedback: Annotated[
        bool, typer.Option("--keep-feedback", help="Keep id, preference, feedback and meta (trl, parquet, hub).")
    ] = False,
    skip_bad: Annotated[
        bool, typer.Option("--skip-bad", help="Leave rows out that can't be exported, and count them.")
    ] = False,
    repo: Annotated[str, typer.Option(metavar="OWNER/NAME", help="The dataset on the hub, for --to hub.")] = "",
    private: Annotated[bool, typer.Option("--private", help="A new dataset on the hub is private.")] = False,
    check: Annotated[
        bool,
        typer.Option(
            "--check",
            help="Write nothing: name the format of a file (with --to: see that it is this one), and what is wrong with it.",
        ),
    ] = False,
) -> int:
    """Write labels in a trainer's own format; what the format can't carry is refused with its line, never cut.

    Nothing is written, into a pipe either, before all rows are known to be good.
    """
    common = cast("Common", ctx.obj)
    path = _path(labels)
    if check:
        return _check(path, to, common)
    if to is None:
        raise SettingsError("no format. Name one with --to, or see what a file is with --check.")
    from aifeedback.exports.exporting import export as write
    from aifeedback.exports.settings import ExportSettings

    settings = ExportSettings(
        path,
        to,
        output=output,
        min_preference=min_preference,
        split=split,
        seed=seed,
        keep_feedback=keep_feedback,
        skip_bad=skip_bad,
        repo=repo,
        private=private,
    )

    done = write(settings)
    common.screen.remark(done.as_line(to))
    common.screen.remark(f"For the trainer:\n{done.paste}")
    return 0


def _path(labels: str | None) -> str:
    if labels is not None:
        return labels
    if sys.stdin is None or sys.stdin.isatty():
        raise SettingsError("no labels. Name a file (aifeedback export labels.jsonl --to trl) or pipe labels in.")
    return "-"


def _check(path: str, wanted: str | None, common: Common) -> int:
    from aifeedback.exports.check_file import check
    from aifeedback.files import name_of

    found, name = check(path), name_of(path)
    counts = f"{_some(found.rows, 'row')}, {_some(found.problems, 'problem')}"
    typer.echo(f"{name}: {found.title}. {counts}.")
    for line, what in found.told:
        typer.echo(f"{name}{f':{line}' if line else ''}: {what}")
    if found.problems > len(found.told):
        typer.echo(f"{name}: and {found.problems - len(found.told)} more.")
    if found.problems:
        common.screen.error(f"{name} can't be used as it is: {counts}.")
    other = bool(wanted and found.shape and wanted not in found.shape.formats)
    if other:
        common.screen.error(f"{name} is not what --to {wanted} writes.")
    return 2 if found.problems or other else 0


def _some(count: int, noun: str) -> str:
    return f"{count} {noun}{'' if count == 1 else 's'}"
