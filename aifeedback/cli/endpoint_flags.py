"""The options that point a critic somewhere, the same for each command that asks one."""

from __future__ import annotations

from typing import Annotated

import typer

BaseUrl = Annotated[str, typer.Option(metavar="URL", help="Another endpoint that speaks the provider's API.")]
ApiKeyEnv = Annotated[str, typer.Option(metavar="NAME", help="The variable that holds the key.")]
Header = Annotated[list[str] | None, typer.Option(metavar="NAME:VALUE", help="Further request headers.")]
Query = Annotated[list[str] | None, typer.Option(metavar="NAME=VALUE", help="Query parameters, e.g. api-version.")]
ExtraBody = Annotated[str, typer.Option(metavar="JSON", help="Further fields of each request.")]
Timeout = Annotated[str, typer.Option(metavar="TIME", help="For the whole of one request.")]
OwnPrice = Annotated[
    str,
    typer.Option(metavar="IN,OUT[,CACHED]", help="USD a million tokens, where the price list has none or another."),
]
