"""`aifeedback label`: pairs in, labelled pairs out."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Annotated, Literal, cast

import typer

from aifeedback.cli.asking_flags import (
    Concurrency,
    CriteriaName,
    Examples,
    Format,
    GateOn,
    Junit,
    Limit,
    Map,
    MaxCost,
    MaxFailed,
    MaxLongerRate,
    MaxRequests,
    MaxTokens,
    MinAccuracy,
    MinConsistency,
    MinKappa,
    NoStore,
    Orders,
    Pairs,
    Patience,
    Reask,
    ReasoningEffort,
    Replay,
    Retries,
    Rpm,
    Samples,
    Seed,
    Soft,
    StorePath,
    Temperature,
    TemplateName,
    Tpm,
)
from aifeedback.cli.endpoint_flags import ApiKeyEnv, BaseUrl, ExtraBody, Header, OwnPrice, Query, Timeout
from aifeedback.cli.flags import given
from aifeedback.cli.job_flags import job_of

if TYPE_CHECKING:
    from aifeedback.cli.main import Common
    from aifeedback.job import Job, JobResult

EPILOG = """Examples:

  aifeedback label pairs.jsonl --critic openai/gpt-5-mini -o labels.jsonl

  cat pairs.jsonl | aifeedback label --critic ollama/qwen3 --template tags > labels.jsonl

Common options (-q, -v, --debug, --log-json, --config FILE) may stand anywhere; see aifeedback --help."""

_INPUT, _CRITIC, _ASKING, _LABELS, _OUTPUT = "Input", "Critic", "Asking", "Labels", "Output"


def label(
    ctx: typer.Context,
    *,
    inputs: Annotated[
        list[str] | None, typer.Argument(metavar="INPUT", help="JSON Lines files, .gz too; - or nothing is stdin.")
    ] = None,
    critic: Annotated[
        list[str] | None,
        typer.Option(help="PROVIDER/MODEL, a name from aifeedback.toml, or builtin. Several are a panel."),
    ] = None,
    panel: Annotated[
        Literal["mean", "majority"],
        typer.Option(help="How several critics become one: the mean of their probabilities, or their votes."),
    ] = "mean",
    output: Annotated[str, typer.Option("--output", "-o", metavar="PATH", help="Labelled pairs; - is stdout.")] = "-",
    rest: Annotated[
        str | None, typer.Option(metavar="PATH", help="Pairs without a label; default: beside the output.")
    ] = None,
    summary: Annotated[str, typer.Option(metavar="PATH", help="The summary as JSON.")] = "",
    format: Format = None,
    map: Map = None,
    pairs: Pairs = "all",
    limit: Limit = 0,
    template: TemplateName = "pairwise",
    criteria: CriteriaName = "helpful",
    examples: Examples = "",
    orders: Orders = "both",
    samples: Samples = 1,
    soft: Soft = "auto",
    temperature: Temperature = None,
    max_tokens: MaxTokens = 2048,
    reasoning_effort: ReasoningEffort = "",
    on_conflict: Annotated[
        Literal["drop", "tie", "soft", "escalate"],
        typer.Option(help="What becomes of a pair whose two orders disagree."),
    ] = "drop",
    escalate_to: Annotated[
        str, typer.Option(metavar="CRITIC", help="Asked about such pairs and weak ones, with --on-conflict escalate.")
    ] = "",
    min_preference: Annotated[
        float, typer.Option(metavar="P", help="Labels below P(chosen is better) go to the rest.")
    ] = 0.5,
    shape: Annotated[
        Literal["auto", "strings", "messages"],
        typer.Option(help="Prompts and responses in the output; auto follows the first pair."),
    ] = "auto",
    meta: Annotated[
        Literal["keep", "text", "drop"],
        typer.Option(help="Your other fields: as they are, as JSON text, or not at all."),
    ] = "keep",
    explain: Annotated[
        Literal["none", "reason", "full"], typer.Option(help="How much of the critic's text is kept.")
    ] = "reason",
    length_control: Annotated[
        Literal["off", "flag", "drop"],
        typer.Option(help="Mark labels that length alone decided, or drop as many as the bias takes."),
    ] = "off",
    max_failed: MaxFailed = "1%",
    min_consistency: MinConsistency = None,
    min_accuracy: MinAccuracy = None,
    min_kappa: MinKappa = None,
    max_longer_rate: MaxLongerRate = None,
    gate_on: GateOn = "estimate",
    junit: Junit = "",
    base_url: BaseUrl = "",
    api_key_env: ApiKeyEnv = "",
    header: Header = None,
    query: Query = None,
    extra_body: ExtraBody = "",
    concurrency: Concurrency = 256,
    rpm: Rpm = 0,
    tpm: Tpm = 0,
    timeout: Timeout = "2m",
    retries: Retries = 8,
    patience: Patience = "",
    max_requests: MaxRequests = 0,
    max_cost: MaxCost = None,
    price: OwnPrice = "",
    store: StorePath = ".aifeedback/replies.sqlite",
    no_store: NoStore = False,
    reask: Reask = None,
    replay: Replay = False,
    seed: Seed = 0,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Print the plan and one prompt; ask nothing.")] = False,
) -> int:
    """Ask a critic LLM which response of each pair is better, in both orders, and write trainer-ready labels.

    Pairs without a label (ties, conflicts, failures, bad lines) go to the rest, each with its reason; a failure never
    becomes a label. Replies are stored: the same command resumes an interrupted run and pays nothing twice.
    """
    flags = {name: value for name, value in locals().items() if name != "ctx"}
    flags["given"] = given(ctx)
    common = cast("Common", ctx.obj)
    job = job_of(flags, common, "label")
    if dry_run:
        from aifeedback.plan import plan

        text = plan(job, environment=os.environ)
        typer.echo(f"gates       {job.gates}\n{text}" if job.gates else text)
        return 0
    from aifeedback.cli.ending import end
    from aifeedback.cli.running import run_until_signal
    from aifeedback.job import run_job
    from aifeedback.markdown_summary import markdown_summary

    result = run_until_signal(
        lambda watch: run_job(job, environment=os.environ, note=common.screen.note, watch=watch),
        common,
        stored=job.store is not None,
    )
    common.screen.summary(result.summary, _places(job))
    _remark(result, job, common)
    return end(
        result.checks,
        common,
        withheld=_withheld(job) if result.withheld else "",
        page=lambda: markdown_summary(result.summary, result.checks),
    )


def _places(job: Job) -> dict[str, str]:
    places = {"labels": job.output, "the rest": job.rest, "summary": job.summary, "JUnit XML": job.junit}
    return {name: path for name, path in places.items() if path and path != "-"}


def _remark(result: JobResult, job: Job, common: Common) -> None:
    """Say what is easily overlooked."""
    tally = result.tally
    if not tally.labeled and result.stopped is None:
        common.screen.note(
            "no pair got a label. The summary says why; a critic that disagrees with itself needs replacing."
        )
    if tally.read > tally.labeled and not job.rest:
        common.screen.note(
            f"{tally.read - tally.labeled} pairs without a label were not written. --rest FILE keeps them."
        )
    if len(job.label_settings.ask.orders) == 1:
        common.screen.note("asked in one order only: the critic's position bias is in these labels.")
    for bias in result.biases:
        common.screen.note(bias.text)


def _withheld(job: Job) -> str:
    place = "stdout" if job.output == "-" else job.output
    kept = " The replies are stored, and a further run pays nothing twice." if job.store else ""
    return (
        f"nothing was written to {place}: with gates, labels go into a pipe only when a run is complete and all gates are passed."
        f"{kept} A file named with -o is written in any case."
    )
