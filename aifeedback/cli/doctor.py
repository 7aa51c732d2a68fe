"""`aifeedback doctor`: what an endpoint really does, before anything is asked of it in earnest."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, cast

import typer

from aifeedback.cli.endpoint_flags import ApiKeyEnv, BaseUrl, ExtraBody, Header, OwnPrice, Query, Timeout
from aifeedback.errors import OutputError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from aifeedback.cli.main import Common
    from aifeedback.cli.screen import Screen
    from aifeedback.doctor.findings import Report
    from aifeedback.lanes import CriticSettings
    from aifeedback.settings import AskingSettings

EPILOG = """Examples:

  aifeedback doctor --critic openai/gpt-5-mini

  aifeedback doctor --critic vllm/m --base-url https://host/v1 --api-key-env MY_KEY --json -

Exit codes: 0 each critic can be used, 2 one can't. What each line means: docs/doctor.md."""


def doctor(
    ctx: typer.Context,
    *,
    critic: Annotated[
        list[str] | None, typer.Option(help="PROVIDER/MODEL, or a name from aifeedback.toml; repeatable.")
    ] = None,
    base_url: BaseUrl = "",
    api_key_env: ApiKeyEnv = "",
    header: Header = None,
    query: Query = None,
    extra_body: ExtraBody = "",
    timeout: Timeout = "1m",
    price: OwnPrice = "",
    json: Annotated[str, typer.Option("--json", metavar="PATH", help="All findings as JSON; - is stdout.")] = "",
) -> int:
    """Find out what a critic's endpoint really does: about fifteen small requests, seconds, and fractions of a cent.

    Says whether it can be reached and used, which forms of answer it keeps to, whether log probabilities come, which
    parameters it takes, and what to write into aifeedback.toml. Nothing is stored.
    """
    from aifeedback.cli.critic_options import EndpointFlags, critics
    from aifeedback.cli.flags import given, seconds
    from aifeedback.prices import read_price
    from aifeedback.settings import AskingSettings

    common = cast("Common", ctx.obj)
    names = critic or []
    flags = EndpointFlags(base_url, api_key_env, header or [], query or [], extra_body, given(ctx))
    asked = critics(names, flags, common.config.critics, file=common.config.path, command="doctor")
    asking = AskingSettings(price=read_price(price))
    titles = [name if name in common.config.critics else "" for name in names]
    reports = asyncio.run(_examined(asked, titles, asking, seconds(timeout, "--timeout")))
    for report in reports:
        _show(report, common.screen)
    if json:
        _write(reports, json)
    for report in reports:
        if report.cause is not None:
            common.screen.error(f"{report.critic} can't be used: {report.cause}")
    return 2 if any(report.cause is not None for report in reports) else 0


async def _examined(
    critics: Sequence[CriticSettings], names: Sequence[str], asking: AskingSettings, timeout_s: float
) -> list[Report]:
    """One critic after the other: what one takes must not show in the latency of the next."""
    from aifeedback.doctor.examining import examine

    return [
        await examine(critic, asking, os.environ, timeout_s=timeout_s, name=name)
        for critic, name in zip(critics, names, strict=True)
    ]


def _show(report: Report, screen: Screen) -> None:
    screen.facts({"critic": report.critic} | {found.name: found.shown for found in report.findings})
    if report.cause is None:
        screen.remark("\n".join(["", report.verdict, "", "For aifeedback.toml:", "", *report.toml, ""]))


def _write(reports: Sequence[Report], path: str) -> None:
    """Write all reports as one object. Raises OutputError."""
    import json

    text = json.dumps({"critics": [report.as_json() for report in reports]}, indent=2, ensure_ascii=False)
    if path == "-":
        typer.echo(text)
        return
    try:
        Path(path).write_text(text + "\n", encoding="utf-8")
    except OSError as error:
        raise OutputError(f"{path}: {error.strerror}. Name another file with --json.") from error
