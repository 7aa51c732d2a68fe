"""`aifeedback store`: what the store holds, why a question was not found in it, and how to make it smaller."""

from __future__ import annotations

import os
import time
from collections import Counter
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal, cast

import typer

from aifeedback.errors import InputError, StoreError
from aifeedback.settings import FormName, PairsOf

if TYPE_CHECKING:
    from collections.abc import Mapping

    from aifeedback.cli.main import Common
    from aifeedback.store import Store

app = typer.Typer(
    rich_markup_mode=None,
    no_args_is_help=True,
    help="What the store of replies holds, and why a question was not found in it.",
)

_DEFAULT = ".aifeedback/replies.sqlite"
StorePath = Annotated[str, typer.Option("--store", metavar="PATH", help="The store.")]


def _open(path: str) -> Store:
    """A store that is there; one that isn't is not made, and what is none is left as it is."""
    from aifeedback.store import Store

    if not Path(path).is_file():
        raise StoreError(f"{path}: no store there. Name one with --store, or label something first.")
    return Store(Path(path), begin=False)


def _size(count: int) -> str:
    return f"{count / 1e6:.1f} MB" if count >= 1e6 else f"{count / 1e3:.0f} kB"


def _shown(facets: Mapping[str, object]) -> str:
    context = cast("Mapping[str, str]", facets["context"])
    return f"{facets['model']} at {facets['endpoint']}, {context.get('template', '?')}, {context.get('criteria', '?')}"


@app.command(
    "stats", epilog="Examples:\n\n  aifeedback store stats\n\n  aifeedback store stats --store /data/replies.sqlite"
)
def stats(*, store: StorePath = _DEFAULT) -> None:
    """Print how many replies the store holds, of whom, since when, and its size."""
    with closing(_open(store)) as opened:
        rows = list(opened.rows())
    typer.echo(f"{store}: {len(rows)} replies, {_size(Path(store).stat().st_size)}")
    for who, count in Counter(_shown(row.facets) for row in rows).most_common():
        typer.echo(f"  {count:>8}  {who}")
    if rows:
        first, last = (
            datetime.fromtimestamp(edge, UTC).strftime("%Y-%m-%d %H:%M")
            for edge in (min(r.stored for r in rows), max(r.stored for r in rows))
        )
        typer.echo(f"  from {first} to {last} UTC")


@app.command(
    "explain",
    epilog="Examples:\n\n  aifeedback store explain pairs.jsonl --critic openai/gpt-5-mini\n\n  aifeedback store explain pairs.jsonl --critic openai/gpt-5-mini --template tags --line 12",
)
def explain(
    ctx: typer.Context,
    *,
    inputs: Annotated[list[str], typer.Argument(metavar="INPUT...", help="The pairs that were labelled.")],
    critic: Annotated[list[str] | None, typer.Option(help="As given to label.")] = None,
    template: Annotated[str, typer.Option(help="As given to label.")] = "pairwise",
    criteria: Annotated[str, typer.Option(help="As given to label.")] = "helpful",
    examples: Annotated[str, typer.Option(help="As given to label.")] = "",
    samples: Annotated[int, typer.Option(min=1, help="As given to label.")] = 1,
    temperature: Annotated[float | None, typer.Option(help="As given to label.")] = None,
    max_tokens: Annotated[int, typer.Option(min=1, help="As given to label.")] = 2048,
    reasoning_effort: Annotated[str, typer.Option(help="As given to label.")] = "",
    format: Annotated[FormName | None, typer.Option(help="As given to label.")] = None,
    map: Annotated[list[str] | None, typer.Option(metavar="OURS=THEIRS", help="As given to label.")] = None,
    pairs: Annotated[PairsOf, typer.Option(help="As given to label.")] = "all",
    orders: Annotated[Literal["both", "ab", "ba"], typer.Option(help="As given to label.")] = "both",
    base_url: Annotated[str, typer.Option(help="As given to label.")] = "",
    extra_body: Annotated[str, typer.Option(help="As given to label.")] = "",
    seed: Annotated[int, typer.Option(help="As given to label.")] = 0,
    line: Annotated[int, typer.Option(min=0, help="Only the pairs of this line; 0 is all.")] = 0,
    store: StorePath = _DEFAULT,
) -> None:
    """Say for each question of these pairs whether its reply is stored and, if not, what differs from the nearest."""
    from aifeedback.cli.critic_options import EndpointFlags, critics
    from aifeedback.cli.flags import given, orders_of, renames
    from aifeedback.explaining import explanations
    from aifeedback.job import Job
    from aifeedback.labeling import LabelSettings
    from aifeedback.prompt_library import find_criteria, find_template, read_examples
    from aifeedback.settings import AskSettings, InputSettings

    common = cast("Common", ctx.obj)
    ask = AskSettings(orders_of(orders), samples, temperature, max_tokens, reasoning_effort, seed)
    endpoint = EndpointFlags(base_url, "", [], [], extra_body, given(ctx))
    job = Job(
        inputs=inputs,
        critics=critics(critic or [], endpoint, common.config.critics, file=common.config.path),
        template=find_template(template),
        criteria=find_criteria(criteria),
        examples=read_examples(examples) if examples else (),
        input_settings=InputSettings(format, renames(map or []), pairs, seed),
        label_settings=LabelSettings(ask=ask),
    )
    with closing(_open(store)) as opened:
        found: Counter[str] = Counter()
        for where, why in explanations(job, opened, environment=os.environ, line=line):
            found[why] += 1
            if found[why] <= 3 or line:
                typer.echo(f"{where}: {why}")
    if not found:
        raise InputError(f"{', '.join(inputs)}: nothing in it is a usable pair. Give the flags that label was given.")
    for why, count in found.most_common():
        typer.echo(f"{count:>8}  {why}")


@app.command(
    "prune",
    epilog="Examples:\n\n  aifeedback store prune --older-than 90\n\n  aifeedback store prune --model gpt-4o-mini --dry-run",
)
def prune(
    *,
    older_than: Annotated[float | None, typer.Option(min=0, metavar="DAYS", help="Replies stored longer ago.")] = None,
    model: Annotated[str, typer.Option(help="Replies of this model.")] = "",
    template: Annotated[str, typer.Option(metavar="NAME[@HASH]", help="Replies to this template.")] = "",
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say how many.")] = False,
    store: StorePath = _DEFAULT,
) -> None:
    """Delete replies that match all of the given conditions; without any condition nothing is deleted.

    With --model, what was learnt about how that model wants to be asked is forgotten too.
    """
    if older_than is None and not model and not template:
        raise typer.BadParameter("name what to delete: --older-than, --model or --template")
    before = time.time() - (older_than or 0.0) * 86400
    with closing(_open(store)) as opened:
        doomed = [
            row.key
            for row in opened.rows()
            if (older_than is None or row.stored < before)
            and (not model or row.facets["model"] == model)
            and (not template or _asked_by(row.facets, template))
        ]
        if not dry_run:
            opened.delete(doomed)
            if model:
                opened.forget(model)
    typer.echo(f"{len(doomed)} replies {'would be' if dry_run else 'were'} deleted from {store}")


def _asked_by(facets: Mapping[str, object], template: str) -> bool:
    label = str(cast("Mapping[str, str]", facets["context"]).get("template", ""))
    return label == template or label.partition("@")[0] == template
