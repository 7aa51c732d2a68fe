"""`aifeedback label`: pairs in, labelled pairs out."""

from __future__ import annotations

import asyncio
import os
import re
import signal
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, NoReturn, cast

import typer

from aifeedback.cli.endpoint_flags import ApiKeyEnv, BaseUrl, ExtraBody, Header, OwnPrice, Query, Timeout
from aifeedback.errors import BudgetSpent, SettingsError

if TYPE_CHECKING:
    from aifeedback.cli.main import Common
    from aifeedback.job import Job, JobResult
    from aifeedback.records import Order

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
    format: Annotated[
        Literal["pair", "candidates", "preference", "transcript", "alpaca", "ultrafeedback"] | None,
        typer.Option(help="Form of the input; default: recognised from each record."),
    ] = None,
    map: Annotated[
        list[str] | None,
        typer.Option(metavar="OURS=THEIRS", help="Rename fields: --map prompt=question,response_a=answer1."),
    ] = None,
    pairs: Annotated[
        Literal["all", "adjacent", "best-worst"], typer.Option(help="How candidates become pairs.")
    ] = "all",
    limit: Annotated[int, typer.Option(min=0, metavar="N", help="Label only the first N pairs; 0 is all.")] = 0,
    template: Annotated[
        str, typer.Option(metavar="NAME|PATH", help="How to ask; see aifeedback prompts list.")
    ] = "pairwise",
    criteria: Annotated[str, typer.Option(metavar="NAME|TEXT|@FILE", help="What is better.")] = "helpful",
    examples: Annotated[str, typer.Option(metavar="FILE", help="Few-shot examples as JSON Lines.")] = "",
    orders: Annotated[Literal["both", "ab", "ba"], typer.Option(help="Which response is shown first.")] = "both",
    samples: Annotated[int, typer.Option(min=1, metavar="N", help="Times each question is asked.")] = 1,
    soft: Annotated[
        Literal["auto", "logprobs", "samples", "off"],
        typer.Option(help="How sure a verdict is: by its token probabilities where there, by votes over --samples."),
    ] = "auto",
    temperature: Annotated[float | None, typer.Option(help="Default 0; 1.0 with --samples above 1.")] = None,
    max_tokens: Annotated[int, typer.Option(min=1, metavar="N", help="Longest reply.")] = 2048,
    reasoning_effort: Annotated[
        str, typer.Option(metavar="LEVEL", help="For reasoning models: low, medium, high.")
    ] = "",
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
    max_failed: Annotated[
        str, typer.Option(metavar="N|SHARE", help="More pairs failed, unparsed, too long or invalid: exit 1.")
    ] = "1%",
    min_consistency: Annotated[
        str | None, typer.Option(metavar="SHARE", help="Gate: fewer pairs whose two orders agree: exit 3.")
    ] = None,
    min_accuracy: Annotated[
        str | None, typer.Option(metavar="SHARE", help="Gate: fewer pairs labelled as their gold says: exit 3.")
    ] = None,
    min_kappa: Annotated[
        str | None, typer.Option(metavar="K", help="Gate: less agreement with gold beyond chance: exit 3.")
    ] = None,
    max_longer_rate: Annotated[
        str | None, typer.Option(metavar="SHARE", help="Gate: the longer response chosen more often: exit 3.")
    ] = None,
    gate_on: Annotated[
        Literal["estimate", "lower"],
        typer.Option(help="What a gate looks at: the figure, or the bad end of its 95% interval."),
    ] = "estimate",
    base_url: BaseUrl = "",
    api_key_env: ApiKeyEnv = "",
    header: Header = None,
    query: Query = None,
    extra_body: ExtraBody = "",
    concurrency: Annotated[int, typer.Option(min=1, metavar="N", help="Most requests at a time.")] = 256,
    rpm: Annotated[float, typer.Option(min=0, metavar="N", help="Most requests a minute; 0 is no limit.")] = 0,
    tpm: Annotated[float, typer.Option(min=0, metavar="N", help="Most tokens a minute; 0 is no limit.")] = 0,
    timeout: Timeout = "2m",
    retries: Annotated[
        int, typer.Option(min=0, metavar="N", help="Further attempts for a request that went wrong.")
    ] = 8,
    patience: Annotated[
        str,
        typer.Option(
            metavar="TIME", help="How long an endpoint that is gone is waited for; default 10m, at the start 10s."
        ),
    ] = "",
    max_requests: Annotated[
        int, typer.Option(min=0, metavar="N", help="Hard stop after N requests, retries included.")
    ] = 0,
    max_cost: Annotated[
        float | None,
        typer.Option(
            metavar="USD", help="Hard stop before the run can cost more, retries included; see docs/spending.md."
        ),
    ] = None,
    price: OwnPrice = "",
    store: Annotated[str, typer.Option(metavar="PATH", help="Where replies are kept.")] = ".aifeedback/replies.sqlite",
    no_store: Annotated[bool, typer.Option("--no-store", help="Keep no replies after the run.")] = False,
    reask: Annotated[Literal["unparsed"] | None, typer.Option(help="Ask again what could not be read.")] = None,
    seed: Annotated[int, typer.Option(metavar="N", help="For everything that is drawn.")] = 0,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Print the plan and one prompt; ask nothing.")] = False,
) -> int:
    """Ask a critic LLM which response of each pair is better, in both orders, and write trainer-ready labels.

    Pairs without a label (ties, conflicts, failures, bad lines) go to the rest, each with its reason; a failure never
    becomes a label. Replies are stored: the same command resumes an interrupted run and pays nothing twice.
    """
    flags = {name: value for name, value in locals().items() if name != "ctx"}
    flags["given"] = given(ctx)
    common = cast("Common", ctx.obj)
    job = _job(flags, common)
    allowed = _max_failed(max_failed)
    if dry_run:
        from aifeedback.plan import plan

        text = plan(job, environment=os.environ)
        typer.echo(f"gates       {job.gates}\n{text}" if job.gates else text)
        return 0
    result = _run(job, common)
    common.screen.summary(result.summary, _places(job))
    _remark(result, job, common)
    return _exit_code(result, job, allowed, common)


def _job(flags: dict[str, Any], common: Common) -> Job:
    """The job that the flags describe. Raises SettingsError, TemplateError."""
    from aifeedback.cli.critic_options import EndpointFlags, critic, critics
    from aifeedback.gates import Gates, limit_of
    from aifeedback.job import Job
    from aifeedback.labeling import LabelSettings
    from aifeedback.lanes import LaneSettings, name_of
    from aifeedback.prices import read_price
    from aifeedback.prompt_library import find_criteria, find_template, read_examples
    from aifeedback.publish import rest_path
    from aifeedback.settings import (
        AskingSettings,
        AskSettings,
        InputSettings,
        OutputSettings,
        ReconcileSettings,
        whole_weights,
    )

    endpoint = EndpointFlags(
        flags["base_url"],
        flags["api_key_env"],
        flags["header"] or [],
        flags["query"] or [],
        flags["extra_body"],
        flags["given"],
    )
    orders = orders_of(flags["orders"])
    ask = AskSettings(
        orders, flags["samples"], flags["temperature"], flags["max_tokens"], flags["reasoning_effort"], flags["seed"]
    )
    asking = AskingSettings(
        flags["retries"],
        seconds(flags["patience"], "--patience") if flags["patience"] else None,
        flags["max_requests"],
        flags["max_cost"],
        read_price(flags["price"]),
    )
    file, named = common.config.path, common.config.critics
    asked = critics(flags["critic"] or [], endpoint, named, file=file)
    strong = flags["escalate_to"]
    return Job(
        inputs=_inputs(flags["inputs"]),
        critics=asked,
        escalate_to=critic(strong, endpoint, named, file=file, flag="--escalate-to") if strong else None,
        template=find_template(flags["template"]),
        criteria=find_criteria(flags["criteria"]),
        examples=read_examples(flags["examples"]) if flags["examples"] else (),
        output=flags["output"],
        rest=rest_path(flags["output"]) if flags["rest"] is None else flags["rest"],
        summary=flags["summary"],
        store=None if flags["no_store"] else Path(flags["store"]),
        input_settings=InputSettings(flags["format"], renames(flags["map"] or []), flags["pairs"], flags["seed"]),
        label_settings=LabelSettings(
            ask=ask,
            reconcile=ReconcileSettings(
                flags["on_conflict"],
                flags["min_preference"],
                flags["panel"],
                whole_weights({name_of(each): each.weight for each in asked}),
            ),
            asking=asking,
            limit=flags["limit"],
            reask_unparsed=flags["reask"] == "unparsed",
            soft=flags["soft"],
        ),
        lane_settings=LaneSettings(
            flags["concurrency"], flags["rpm"], flags["tpm"], seconds(flags["timeout"], "--timeout")
        ),
        output_settings=OutputSettings(flags["shape"], flags["meta"], flags["explain"]),
        gates=Gates(
            min_consistency=limit_of("min-consistency", flags["min_consistency"]),
            min_accuracy=limit_of("min-accuracy", flags["min_accuracy"]),
            min_kappa=limit_of("min-kappa", flags["min_kappa"]),
            max_longer_rate=limit_of("max-longer-rate", flags["max_longer_rate"]),
            on=flags["gate_on"],
        ),
    )


def orders_of(word: str) -> tuple[Order, ...]:
    """What `--orders` says."""
    from aifeedback.records import Order

    return (Order.AB, Order.BA) if word == "both" else (Order(word),)


def given(ctx: typer.Context) -> frozenset[str]:
    """The parameters that the command line or the environment sets: what aifeedback.toml says comes after them."""
    named = {name for name in ctx.params if str(ctx.get_parameter_source(name)).endswith("COMMANDLINE")}
    return cast("Common", ctx.obj).from_environment | named


def _inputs(paths: list[str] | None) -> list[str]:
    if paths:
        return paths
    if sys.stdin is None or sys.stdin.isatty():
        raise SettingsError("no input. Name a file (aifeedback label pairs.jsonl) or pipe pairs in.")
    return ["-"]


def renames(texts: list[str]) -> dict[str, str]:
    """What `--map` says: our names to the input's. Raises SettingsError."""
    found: dict[str, str] = {}
    for part in (part for text in texts for part in text.split(",")):
        ours, equals, theirs = part.partition("=")
        if not equals or not ours.strip() or not theirs.strip():
            raise SettingsError(f"--map {part!r} is not OURS=THEIRS. Write for instance --map prompt=question.")
        found[ours.strip()] = theirs.strip()
    return found


def seconds(text: str, flag: str) -> float:
    """A duration such as 90, 90s, 10m or 1h."""
    match = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*(ms|s|m|h|)\s*", text)
    if not match or (flag == "--timeout" and float(match[1]) == 0):
        raise SettingsError(f"{flag} {text!r} is no time. Write for instance 90, 90s or 10m.")
    return float(match[1]) * {"ms": 0.001, "s": 1, "": 1, "m": 60, "h": 3600}[match[2]]


def _max_failed(text: str) -> tuple[float, bool]:
    """The allowed number of troubled pairs, and whether it is a share of all."""
    match = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*(%?)\s*", text)
    if not match:
        raise SettingsError(f"--max-failed {text!r} is neither a count nor a share. Write for instance 5, 0.01 or 1%.")
    number = float(match[1])
    if match[2]:
        return number / 100, True
    return number, "." in match[1] and number <= 1


def _run(job: Job, common: Common) -> JobResult:
    """Run the job until its end or a signal: then what was answered is kept, and the process ends with 128 + signal."""
    import gc

    from aifeedback.job import run_job

    # Thousands of small objects are on their way at a time and hardly any form a cycle: to look for cycles among them
    # as often as Python does by itself is a tenth of all that a run costs.
    gc.freeze()
    gc.set_threshold(50_000, 50, 100)

    async def main() -> JobResult:
        from contextlib import ExitStack

        task = asyncio.current_task()
        assert task is not None, "we run inside a task"
        received: list[int] = []
        loop = asyncio.get_running_loop()
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            if signal.getsignal(number) is signal.SIG_IGN:
                continue  # under nohup, or in a background job: whoever started us wants it ignored
            loop.add_signal_handler(number, _interrupt, number, received, task)
        with ExitStack() as stack:
            try:
                return await run_job(
                    job,
                    environment=os.environ,
                    note=common.screen.note,
                    watch=lambda progress, tally: stack.enter_context(common.screen.progress(progress, tally)),
                )
            except asyncio.CancelledError as ended:
                stack.close()
                kept = "the replies so far are stored. The same command goes on from there."
                common.screen.error(f"interrupted; {kept if job.store else 'without a store, no reply is kept.'}")
                for note in getattr(ended, "__notes__", ()):
                    common.screen.note(note)
                # Python's own handler heard a signal that came before ours.
                _leave(128 + (received[0] if received else signal.SIGINT))
            except BrokenPipeError:
                stack.close()
                _leave(0)

    return asyncio.run(main())


def _interrupt(number: int, received: list[int], task: asyncio.Task[JobResult]) -> None:
    """The first signal ends the run in good order, the second at once."""
    if received:
        _leave(128 + number)
    received.append(number)
    task.cancel()


def _leave(code: int) -> NoReturn:
    """End the process now: a thread may still wait for stdin or for a full pipe, and Python would wait for it."""
    sys.stderr.flush()
    os._exit(code)


def _places(job: Job) -> dict[str, str]:
    places = {"labels": job.output, "the rest": job.rest, "summary": job.summary}
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


def _withheld(job: Job) -> str:
    place = "stdout" if job.output == "-" else job.output
    kept = " The replies are stored, and a further run pays nothing twice." if job.store else ""
    return (
        f"nothing was written to {place}: with gates, labels go into a pipe only when a run is complete and all gates are passed."
        f"{kept} A file named with -o is written in any case."
    )


def _where(job: Job) -> str:
    return f"Each one's reason is in {job.rest}." if job.rest else "--rest FILE keeps each one's reason."


def _exit_code(result: JobResult, job: Job, allowed: tuple[float, bool], common: Common) -> int:
    """Contract section 6: the first of 5, 4, 3, 1 that applies; all are named."""
    codes: list[int] = []
    if result.stopped is not None:
        codes.append(4 if isinstance(result.stopped, BudgetSpent) else 5)
        output = "No label was let through" if result.withheld else "The output holds what was labelled"
        common.screen.error(f"{result.stopped} {output}; the same command goes on from there.")
    for gate in result.missed:
        codes.append(3)
        common.screen.error(gate.missed)
    limit, is_share = allowed
    troubled, read = result.tally.troubled, result.tally.read
    if troubled > (limit * read if is_share else limit):
        codes.append(1)
        reason, count = result.tally.reasons.most_common(1)[0]
        common.screen.error(
            f"{troubled} of {read} pairs failed, were unparsed, too long or invalid: more than --max-failed allows. "
            f'Most often: "{reason}" ({count}). {_where(job)}'
        )
    if result.withheld:
        common.screen.note(_withheld(job))
    return max(codes, default=0)
