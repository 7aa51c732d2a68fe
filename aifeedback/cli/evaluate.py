"""`aifeedback evaluate`: how far critics agree with people, side by side."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Annotated, Any, Literal, cast

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
from aifeedback.cli.flags import gates_of, given, inputs_of, max_failed_of, renames
from aifeedback.errors import SettingsError

if TYPE_CHECKING:
    from aifeedback.cli.main import Common
    from aifeedback.evaluation.outcome import Evaluated
    from aifeedback.evaluation.settings import EvaluateSettings

EPILOG = """Examples:

  aifeedback evaluate judged.jsonl --critic openai/gpt-5-mini --critic ollama/qwen3 --json figures.json

  aifeedback evaluate --labels labels.jsonl --by category --disagreements read-these.jsonl

What each figure means: docs/evaluate.md. Common options (-q, -v, --debug, --log-json, --config FILE) may stand anywhere."""


def evaluate(
    ctx: typer.Context,
    *,
    inputs: Annotated[
        list[str] | None,
        typer.Argument(metavar="INPUT", help='Pairs with "gold" or "votes": JSON Lines files, .gz too; - is stdin.'),
    ] = None,
    critic: Annotated[
        list[str] | None,
        typer.Option(help="PROVIDER/MODEL, a name from aifeedback.toml, or builtin; repeatable, side by side."),
    ] = None,
    labels: Annotated[
        list[str] | None,
        typer.Option(metavar="FILE", help="Finished labels instead of a critic; repeatable. Nobody is asked."),
    ] = None,
    rest: Annotated[
        list[str] | None,
        typer.Option(metavar="FILE", help="The rest of the labels at the same place, where it lies elsewhere."),
    ] = None,
    panel: Annotated[
        Literal["mean", "majority"] | None,
        typer.Option(help="Judge several critics as one, too: the mean of their probabilities, or their votes."),
    ] = None,
    by: Annotated[
        list[str] | None,
        typer.Option(metavar="FIELD", help="Figures for each value of a field of yours, too; repeatable."),
    ] = None,
    json: Annotated[str, typer.Option("--json", metavar="PATH", help="All figures as JSON; - is stdout.")] = "",
    disagreements: Annotated[
        str, typer.Option(metavar="PATH", help="Pairs on which critics and people disagree, worth reading first.")
    ] = "",
    plan: Annotated[
        float | None,
        typer.Option(metavar="WIDTH", help="How many human labels give intervals this wide (0.1); ask nothing."),
    ] = None,
    expect: Annotated[float, typer.Option(metavar="RATE", help="The accuracy to plan for.")] = 0.8,
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
        Literal["drop", "tie", "soft"], typer.Option(help="What a pair whose two orders disagree counts as.")
    ] = "drop",
    min_preference: Annotated[
        float, typer.Option(metavar="P", help="Below this P(chosen is better) a pair has no label.")
    ] = 0.5,
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
    seed: Seed = 0,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Print the plan and one prompt; ask nothing.")] = False,
) -> int:
    """See how far critics agree with people, beside baselines and people among themselves, with 95% intervals.

    Asks about each pair with gold or votes (through the same store as label), or takes finished labels. Each gate must
    be passed by each critic.
    """
    flags = {name: value for name, value in locals().items() if name != "ctx"}
    flags["given"] = given(ctx)
    common = cast("Common", ctx.obj)
    if plan is not None:
        return _plan(flags)
    from aifeedback.evaluation.extra import require

    require()
    if labels:
        if critic:
            raise SettingsError("--labels and --critic don't go together: labels are finished. Leave one of them out.")
        evaluated = _of_labels(flags, common)
    else:
        asked = _of_critics(flags, common)
        if asked is None:
            return 0
        evaluated = asked
    return _end(evaluated, flags, common)


def _settings(flags: dict[str, Any]) -> EvaluateSettings:
    from aifeedback.evaluation.settings import EvaluateSettings

    labels = flags["labels"] or []

    def meant(name: str) -> bool:
        """Whether a flag was meant for this command: aifeedback.toml may hold it for label."""
        return flags[name] is not None and name in flags["given"]

    return EvaluateSettings(
        by=flags["by"] or [],
        panel=flags["panel"] is not None if not labels else meant("panel"),
        labels=labels,
        rests=flags["rest"] or [] if labels or meant("rest") else [],
        json=flags["json"],
        disagreements=flags["disagreements"],
        junit=flags["junit"],
    )


def _of_critics(flags: dict[str, Any], common: Common) -> Evaluated | None:
    """Ask; None where only the plan was wanted."""
    from aifeedback.cli.job_flags import job_of
    from aifeedback.evaluation.asking import is_judged

    settings = _settings(flags)
    unlabelled = {"output": "-", "rest": "", "summary": "", "junit": "", "escalate_to": "", "shape": "auto"}
    own = {"panel": flags["panel"] or "mean", "meta": "keep", "explain": "none"}
    job = job_of(flags | unlabelled | own, common, "evaluate")
    if flags["dry_run"]:
        from aifeedback.plan import plan

        text = plan(job, environment=os.environ, asked=is_judged)
        typer.echo(f"gates       {job.gates}, for each critic\n{text}" if job.gates else text)
        return None
    from aifeedback.cli.running import run_until_signal
    from aifeedback.evaluation.running import evaluate_critics

    return run_until_signal(
        lambda watch: evaluate_critics(job, settings, environment=os.environ, note=common.screen.note, watch=watch),
        common,
        stored=job.store is not None,
    )


def _of_labels(flags: dict[str, Any], common: Common) -> Evaluated:
    from aifeedback.evaluation.running import evaluate_labels
    from aifeedback.prompt_library import find_template
    from aifeedback.settings import InputSettings

    return evaluate_labels(
        flags["inputs"] or [],
        _settings(flags),
        find_template(flags["template"]),
        input_settings=InputSettings(flags["format"], renames(flags["map"] or []), flags["pairs"], flags["seed"]),
        gates=gates_of(flags),
        max_failed=max_failed_of(flags["max_failed"]),
        seed=flags["seed"],
        limit=flags["limit"],
        note=common.screen.note,
    )


def _plan(flags: dict[str, Any]) -> int:
    """How many human labels it takes; an input that is named says how many there are."""
    from aifeedback.evaluation.planning import plan_text

    gold = None
    if flags["inputs"]:
        from aifeedback.files import Reader
        from aifeedback.job import usable
        from aifeedback.records import Pair
        from aifeedback.settings import InputSettings

        paths = inputs_of(flags["inputs"], "evaluate")
        reader = Reader(
            paths, InputSettings(flags["format"], renames(flags["map"] or []), flags["pairs"], flags["seed"])
        )
        reader.check()
        gold = sum(
            isinstance(item, Pair) and item.gold in {"a", "b"} for chunk in usable(reader, paths) for item in chunk
        )
    typer.echo(plan_text(flags["plan"], flags["expect"], gold))
    return 0


def _end(evaluated: Evaluated, flags: dict[str, Any], common: Common) -> int:
    from aifeedback.cli.ending import end
    from aifeedback.evaluation.page import page

    places = {"figures": flags["json"], "disagreements": flags["disagreements"], "JUnit XML": flags["junit"]}
    common.screen.evaluation(evaluated.report, {name: path for name, path in places.items() if path and path != "-"})
    withheld = (
        "nothing was written to stdout: with gates, figures go into a pipe only when a run is complete and all gates are passed. A file named with --json is written in any case."
        if evaluated.withheld
        else ""
    )
    return end(evaluated.checks, common, withheld=withheld, page=lambda: page(evaluated.report, evaluated.checks))
