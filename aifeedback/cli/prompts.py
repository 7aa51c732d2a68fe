"""`aifeedback prompts`: what the library holds, what a critic gets to see, what is wrong with a template."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from aifeedback.records import Message, Pair

app = typer.Typer(
    rich_markup_mode=None,
    no_args_is_help=True,
    help="The template library: list what there is, show what a critic sees, check a template of your own.",
)


@app.command("list")
def list_prompts() -> None:
    """List the templates and criteria that come with aifeedback.

    \b
    Examples:
      aifeedback prompts list
      aifeedback prompts list | grep JSON
    """  # noqa: D301 - click keeps the lines below its mark
    from aifeedback.prompt_library import criteria_names, find_criteria, find_template, names

    width = max(map(len, (*names(), *criteria_names())))
    typer.echo("Templates (--template NAME):")
    for name in names():
        typer.echo(f"  {name:{width}}  {find_template(name).title}")
    typer.echo("\nCriteria (--criteria NAME):")
    for name in criteria_names():
        typer.echo(f"  {name:{width}}  {find_criteria(name).title}")


@app.command()
def show(
    name: Annotated[str, typer.Argument(help="A template's name, or the path of your own.")],
    pair: Annotated[str | None, typer.Option(metavar="FILE", help="Show the first pair of this file.")] = None,
    criteria: Annotated[str, typer.Option(metavar="NAME|TEXT|@FILE", help="What makes a response better.")] = "helpful",
    examples: Annotated[str | None, typer.Option(metavar="FILE", help="Few-shot examples, JSON Lines.")] = None,
    seed: Annotated[int, typer.Option(help="The seed of the run; it changes the codes in the fences.")] = 0,
) -> None:
    """Show the messages that a critic gets, in both orders.

    \b
    Examples:
      aifeedback prompts show pairwise
      aifeedback prompts show my.md --pair pairs.jsonl --criteria @rubric.md
    """  # noqa: D301 - click keeps the lines below its mark
    from aifeedback.prompt_library import find_criteria, find_template, read_examples
    from aifeedback.records import Order
    from aifeedback.templates import Renderer

    shots = read_examples(examples) if examples else ()
    renderer = Renderer(find_template(name), find_criteria(criteria), shots, seed=seed)
    shown = _first_pair(pair) if pair else _sample()
    for question in renderer.questions(shown, (Order.AB, Order.BA)):
        typer.echo(f"===== order {question.order.value} =====\n")
        for message in question.messages:
            typer.echo(_as_text(message))


@app.command()
def check(
    path: Annotated[str, typer.Argument(metavar="PATH", help="The template; the name of one of ours will do.")],
) -> None:
    """Say what is wrong with a template: one line each, errors (exit code 2) and warnings (exit code 0).

    \b
    Examples:
      aifeedback prompts check my.md
      aifeedback prompts check my.md && aifeedback label pairs.jsonl --template my.md --critic openai/gpt-5-mini
    """  # noqa: D301 - click keeps the lines below its mark
    from aifeedback.errors import TemplateError
    from aifeedback.prompt_library import find_template
    from aifeedback.templates import lint_template

    try:
        template = find_template(path)
    except TemplateError as error:
        if not error.line:
            raise
        typer.echo(f"{error.path}:{error.line}: error: {error.args[0]}")
        raise typer.Exit(2) from None
    remarks = lint_template(template)
    for remark in remarks:
        typer.echo(f"{template.path}:{remark.line}: warning: {remark.text}")
    if not remarks:
        typer.echo(f"{template.path}: nothing to complain about.", err=True)


def _as_text(message: Message) -> str:
    return f"----- {message.role} -----\n\n{message.content}\n"


def _first_pair(path: str) -> Pair:
    """The first usable pair of a file. Raises InputError where there is none, with what is wrong with the first line."""
    from aifeedback.errors import InputError
    from aifeedback.files import Reader
    from aifeedback.records import Invalid
    from aifeedback.settings import InputSettings

    for chunk in Reader([path], InputSettings()).chunks():
        for item in chunk:
            if isinstance(item, Invalid):
                raise InputError(item.reason, file=item.file, line=item.line)
            return item
    raise InputError("no pairs in it. One JSON object a line is expected.", file=path)


def _sample() -> Pair:
    from aifeedback.records import Message, Pair

    turns = (
        Message("user", "Which city is the capital of Australia?"),
        Message("assistant", "Canberra."),
        Message("user", "Since when?"),
    )
    return Pair("sample", turns, "Since 1913, when it was founded as the capital.", "It has always been Sydney.")
