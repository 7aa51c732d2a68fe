"""`aifeedback train`: labels in, a model out, on TRL."""

from __future__ import annotations

import contextlib
import sys
from typing import TYPE_CHECKING, Annotated, Any, Literal, cast

import typer

from aifeedback.errors import SettingsError, StopRun

if TYPE_CHECKING:
    from aifeedback.cli.main import Common
    from aifeedback.training.settings import Kind, TrainSettings

app = typer.Typer(
    rich_markup_mode=None,
    no_args_is_help=True,
    help="Train a model on labels, on this machine: DPO, SFT or KTO, on TRL (pip install 'aifeedback[train]').",
)

DATA = Annotated[
    list[str] | None,
    typer.Argument(metavar="DATA", help="Labelled files, .gz too; - or nothing is stdin, read to its end."),
]
MODEL = Annotated[str, typer.Option(metavar="PATH|ID", help="The model to start from: a folder, or a name on the hub.")]
OUTPUT = Annotated[str, typer.Option("--output", "-o", metavar="DIR", help="Folder for the model and its report.")]
EPOCHS = Annotated[float | None, typer.Option(min=0, help="Passes over the data; default 1.")]
STEPS = Annotated[int | None, typer.Option(min=1, metavar="N", help="Optimiser steps, instead of --epochs.")]
BATCH = Annotated[int | None, typer.Option(min=1, metavar="N", help="Examples on a device at a time; default 8.")]
ACCUM = Annotated[int | None, typer.Option(min=1, metavar="N", help="Batches to an optimiser step; default 1.")]
RATE = Annotated[
    float | None, typer.Option("--lr", help="Learning rate; default 5e-6, without LoRA 5e-7 (sft: 2e-4 and 2e-5).")
]
BETA = Annotated[
    float | None, typer.Option(metavar="B", help="How strongly to stay near the starting model; default 0.1.")
]
LENGTH = Annotated[
    int | None,
    typer.Option(
        min=2,
        metavar="N",
        help="Tokens of prompt and answer together; default: what 99% of the data need, of few rows all.",
    ),
]
LOSS = Annotated[str | None, typer.Option(metavar="NAME", help="TRL's name of a loss; several joined by +.")]
LORA = Annotated[bool, typer.Option("--lora/--no-lora", help="Train an adapter, or all weights.")]
LORA_R = Annotated[int | None, typer.Option("--lora-r", min=1, metavar="N", help="Rank of the adapter; default 16.")]
FOUR_BIT = Annotated[bool, typer.Option("--4bit", help="Load the model in 4 bits (QLoRA; needs a CUDA GPU).")]
MERGE = Annotated[bool, typer.Option("--merge", help="Write plain weights, the adapter merged into them.")]
FRACTION = Annotated[float, typer.Option(min=0, max=0.9, help="Share of the prompts that is held out.")]
SEED = Annotated[int, typer.Option(metavar="N", help="For everything that is drawn.")]
RESUME = Annotated[bool, typer.Option("--resume", help="Go on from the last checkpoint in DIR.")]
SKIP = Annotated[bool, typer.Option("--skip-bad", help="Leave bad rows out and count them, instead of stopping.")]
DRY = Annotated[bool, typer.Option("--dry-run", help="Check the data and print the plan; train nothing.")]
CONFIG = Annotated[
    str, typer.Option(metavar="FILE", help="YAML, TOML or JSON with settings under the trainer's own names.")
]
SET = Annotated[
    list[str] | None, typer.Option(metavar="NAME=VALUE", help="One such setting; lora.NAME is one of the adapter's.")
]
TELEMETRY = Annotated[bool, typer.Option("--telemetry", help="Let TRL and the hub's library report their use.")]

# What has a flag, as the trainer and other tools call it.
_THEIR_NAMES = {
    "learning_rate": "--lr",
    "num_train_epochs": "--epochs",
    "num_epochs": "--epochs",
    "max_steps": "--steps",
    "per_device_train_batch_size": "--batch-size",
    "gradient_accumulation_steps": "--grad-accum",
    "loss_type": "--loss",
    "max_seq_length": "--max-length",
    "output_dir": "-o",
    "model_name_or_path": "--model",
    "use_peft": "--lora or --no-lora",
    "lora_rank": "--lora-r",
    "load_in_4bit": "--4bit",
    "test_split_size": "--eval-fraction",
    "resume_from_checkpoint": "--resume",
    "dataset_name": "the files themselves, after the command",
}


@app.command(
    "dpo",
    epilog="""Examples:

  aifeedback label pairs.jsonl --critic openai/gpt-5-mini --min-consistency 0.7 --shape messages | aifeedback train dpo - --model ./model -o policy

  aifeedback train dpo labels.jsonl --model ./model -o policy --soft-labels cdpo""",
)
def dpo(
    ctx: typer.Context,
    *,
    data: DATA = None,
    model: MODEL = "",
    output: OUTPUT = "",
    epochs: EPOCHS = None,
    steps: STEPS = None,
    batch_size: BATCH = None,
    grad_accum: ACCUM = None,
    lr: RATE = None,
    beta: BETA = None,
    max_length: LENGTH = None,
    loss: LOSS = None,
    soft_labels: Annotated[
        Literal["off", "cdpo", "gdpo"], typer.Option(help="Let each pair count as its preference says.")
    ] = "off",
    lora: LORA = True,
    lora_r: LORA_R = None,
    four_bit: FOUR_BIT = False,
    merge: MERGE = False,
    eval_fraction: FRACTION = 0.05,
    seed: SEED = 42,
    resume: RESUME = False,
    skip_bad: SKIP = False,
    dry_run: DRY = False,
    config: CONFIG = "",
    set: SET = None,
    telemetry: TELEMETRY = False,
) -> int:
    """Teach a model to prefer the chosen answers (DPO, Rafailov et al. 2023).

    All data are read and checked before the first step. DIR gets the model, a report (training.html, training.json)
    and a model card. Several GPUs: accelerate launch -m aifeedback.training dpo …
    """
    return _train("dpo", ctx, locals())


@app.command(
    "sft",
    epilog="""Examples:

  aifeedback train sft labels.jsonl --model ./model -o policy

  aifeedback train sft answers.jsonl --model Qwen/Qwen3-0.6B -o policy --epochs 3 --no-lora""",
)
def sft(
    ctx: typer.Context,
    *,
    data: DATA = None,
    model: MODEL = "",
    output: OUTPUT = "",
    epochs: EPOCHS = None,
    steps: STEPS = None,
    batch_size: BATCH = None,
    grad_accum: ACCUM = None,
    lr: RATE = None,
    max_length: LENGTH = None,
    loss: LOSS = None,
    lora: LORA = True,
    lora_r: LORA_R = None,
    four_bit: FOUR_BIT = False,
    merge: MERGE = False,
    eval_fraction: FRACTION = 0.05,
    seed: SEED = 42,
    resume: RESUME = False,
    skip_bad: SKIP = False,
    dry_run: DRY = False,
    config: CONFIG = "",
    set: SET = None,
    telemetry: TELEMETRY = False,
) -> int:
    """Teach a model to answer as the chosen answers do, or a teacher's: {"prompt", "completion"}.

    The loss counts the answer's tokens only. What DPO should be compared with before it is believed.
    """
    return _train("sft", ctx, locals())


@app.command(
    "kto",
    epilog="""Examples:

  aifeedback train kto thumbs.jsonl --model ./model -o policy

  aifeedback train kto labels.jsonl --model ./model -o policy --batch-size 16""",
)
def kto(
    ctx: typer.Context,
    *,
    data: DATA = None,
    model: MODEL = "",
    output: OUTPUT = "",
    epochs: EPOCHS = None,
    steps: STEPS = None,
    batch_size: BATCH = None,
    grad_accum: ACCUM = None,
    lr: RATE = None,
    beta: BETA = None,
    max_length: LENGTH = None,
    loss: LOSS = None,
    lora: LORA = True,
    lora_r: LORA_R = None,
    four_bit: FOUR_BIT = False,
    merge: MERGE = False,
    eval_fraction: FRACTION = 0.05,
    seed: SEED = 42,
    resume: RESUME = False,
    skip_bad: SKIP = False,
    dry_run: DRY = False,
    config: CONFIG = "",
    set: SET = None,
    telemetry: TELEMETRY = False,
) -> int:
    """Teach a model from thumbs: {"prompt", "completion", "thumb": 1 or -1}, or labelled pairs taken apart (KTO, Ethayarajh et al. 2024).

    Thumbs up and down are shuffled and interleaved, and weighed so that neither side drowns the other.
    """
    return _train("kto", ctx, locals())


def _train(kind: Kind, ctx: typer.Context, flags: dict[str, Any]) -> int:
    from aifeedback.training.hardware import rank
    from aifeedback.training.run import train

    common = cast("Common", ctx.obj)
    screen = common.screen
    screen.quiet = screen.quiet or rank() > 0  # of several processes the first one speaks
    settings = _settings(kind, flags, common)
    if flags["dry_run"]:
        from aifeedback.training.plan import plan

        text, usable = plan(settings, note=screen.note)
        typer.echo(text)
        return 0 if usable else 2
    try:
        # stdout is for rows alone, and some of the trainer's own settings make it print.
        with contextlib.redirect_stdout(sys.stderr):
            result = train(
                settings, note=screen.note, say=screen.remark, watch=screen.following, verbose=screen.verbose
            )
    except StopRun as error:
        screen.error(str(error))
        return 5
    if result.signal:
        then = f"{result.final}." if result.final else "The same command with --resume goes on from there."
        if not rank():
            screen.error(f"interrupted after step {result.step}. {then}")
        return 128 + result.signal
    screen.facts(result.facts)
    return 0


def _settings(kind: Kind, flags: dict[str, Any], common: Common) -> TrainSettings:
    """What the flags say. Raises SettingsError."""
    from aifeedback.training.overrides import read_overrides
    from aifeedback.training.settings import TrainSettings

    for flag, value in (("--model", flags["model"]), ("-o", flags["output"])):
        if not value:
            what = "the model to start from" if flag == "--model" else "the folder for the result"
            raise SettingsError(f"no {flag}. Name {what}: aifeedback train {kind} labels.jsonl --model PATH -o DIR")
    more = read_overrides(kind, flags["config"], flags["set"] or [])
    for note in more.notes:
        common.screen.note(note)
    return TrainSettings(
        kind=kind,
        data=_data(kind, flags["data"]),
        model=flags["model"],
        output=flags["output"],
        epochs=flags["epochs"],
        steps=flags["steps"],
        batch_size=flags["batch_size"],
        grad_accum=flags["grad_accum"],
        learning_rate=flags["lr"],
        beta=flags.get("beta"),
        max_length=flags["max_length"],
        loss=flags["loss"],
        soft_labels=flags.get("soft_labels", "off"),
        lora=flags["lora"],
        lora_r=flags["lora_r"],
        four_bit=flags["four_bit"],
        merge=flags["merge"],
        eval_fraction=flags["eval_fraction"],
        seed=flags["seed"],
        resume=flags["resume"],
        skip_bad=flags["skip_bad"],
        telemetry=flags["telemetry"],
        trainer=more.trainer,
        lora_more=more.lora,
        command=("aifeedback", *sys.argv[1:]),
    )


def _data(kind: Kind, paths: list[str] | None) -> list[str]:
    if paths:
        return paths
    if sys.stdin is None or sys.stdin.isatty():
        raise SettingsError(f"no data. Name a file (aifeedback train {kind} labels.jsonl …) or pipe labels in.")
    return ["-"]


def flag_meant(kind: str, option: str) -> str:
    """Advice for an option that there isn't: the flag for it, or how it is said under the trainer's own name."""
    from aifeedback.training.fields import fields_of

    name = option.lstrip("-").replace("-", "_")
    if name in _THEIR_NAMES:
        return f"Use {_THEIR_NAMES[name]}."
    if kind in {"dpo", "sft", "kto"} and name in fields_of(cast("Kind", kind)):
        return f"It is the trainer's own: --set {name}=VALUE."
    return ""
