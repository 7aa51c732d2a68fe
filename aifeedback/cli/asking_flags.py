"""The options that say what is asked and how, the same for each command that labels pairs."""

from __future__ import annotations

from typing import Annotated, Literal

import typer

Format = Annotated[
    Literal["pair", "candidates", "preference", "transcript", "alpaca", "ultrafeedback"] | None,
    typer.Option(help="Form of the input; default: recognised from each record."),
]
Map = Annotated[
    list[str] | None,
    typer.Option(metavar="OURS=THEIRS", help="Rename fields: --map prompt=question,response_a=answer1."),
]
Pairs = Annotated[Literal["all", "adjacent", "best-worst"], typer.Option(help="How candidates become pairs.")]
Limit = Annotated[int, typer.Option(min=0, metavar="N", help="Label only the first N pairs; 0 is all.")]
TemplateName = Annotated[str, typer.Option(metavar="NAME|PATH", help="How to ask; see aifeedback prompts list.")]
CriteriaName = Annotated[str, typer.Option(metavar="NAME|TEXT|@FILE", help="What is better.")]
Examples = Annotated[str, typer.Option(metavar="FILE", help="Few-shot examples as JSON Lines.")]
Orders = Annotated[Literal["both", "ab", "ba"], typer.Option(help="Which response is shown first.")]
Samples = Annotated[int, typer.Option(min=1, metavar="N", help="Times each question is asked.")]
Soft = Annotated[
    Literal["auto", "logprobs", "samples", "off"],
    typer.Option(help="How sure a verdict is: by its token probabilities where there, by votes over --samples."),
]
Temperature = Annotated[float | None, typer.Option(help="Default 0; 1.0 with --samples above 1.")]
MaxTokens = Annotated[int, typer.Option(min=1, metavar="N", help="Longest reply.")]
ReasoningEffort = Annotated[str, typer.Option(metavar="LEVEL", help="For reasoning models: low, medium, high.")]
MaxFailed = Annotated[
    str, typer.Option(metavar="N|SHARE", help="More pairs failed, unparsed, too long or invalid: exit 1.")
]
MinConsistency = Annotated[
    str | None, typer.Option(metavar="SHARE", help="Gate: fewer pairs whose two orders agree: exit 3.")
]
MinAccuracy = Annotated[
    str | None, typer.Option(metavar="SHARE", help="Gate: fewer pairs labelled as their gold says: exit 3.")
]
MinKappa = Annotated[
    str | None, typer.Option(metavar="K", help="Gate: less agreement with gold beyond chance: exit 3.")
]
MaxLongerRate = Annotated[
    str | None, typer.Option(metavar="SHARE", help="Gate: the longer response chosen more often: exit 3.")
]
GateOn = Annotated[
    Literal["estimate", "lower"],
    typer.Option(help="What a gate looks at: the figure, or the bad end of its 95% interval."),
]
Junit = Annotated[
    str, typer.Option(metavar="PATH", help="The gates and --max-failed as JUnit XML, for a CI server to show.")
]
Concurrency = Annotated[int, typer.Option(min=1, metavar="N", help="Most requests at a time.")]
Rpm = Annotated[float, typer.Option(min=0, metavar="N", help="Most requests a minute; 0 is no limit.")]
Tpm = Annotated[float, typer.Option(min=0, metavar="N", help="Most tokens a minute; 0 is no limit.")]
Retries = Annotated[int, typer.Option(min=0, metavar="N", help="Further attempts for a request that went wrong.")]
Patience = Annotated[
    str,
    typer.Option(
        metavar="TIME", help="How long an endpoint that is gone is waited for; default 10m, at the start 10s."
    ),
]
MaxRequests = Annotated[int, typer.Option(min=0, metavar="N", help="Hard stop after N requests, retries included.")]
MaxCost = Annotated[
    float | None,
    typer.Option(metavar="USD", help="Hard stop before the run can cost more, retries included; see docs/spending.md."),
]
StorePath = Annotated[str, typer.Option(metavar="PATH", help="Where replies are kept.")]
NoStore = Annotated[bool, typer.Option("--no-store", help="Keep no replies after the run.")]
Replay = Annotated[bool, typer.Option("--replay", help="Ask nobody: all replies from the store, or exit 2.")]
Reask = Annotated[Literal["unparsed"] | None, typer.Option(help="Ask again what could not be read.")]
Seed = Annotated[int, typer.Option(metavar="N", help="For everything that is drawn.")]
