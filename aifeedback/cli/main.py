"""The command `aifeedback`: its commands, what is common to them, and the one place where errors are met."""

from __future__ import annotations

import os
import sys
import threading
import traceback
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer

from aifeedback import __version__
from aifeedback.cli import config as config_file
from aifeedback.cli import doctor, evaluate, export, label, prompts, report, store, train
from aifeedback.cli.screen import Screen
from aifeedback.errors import AifeedbackError
from aifeedback.reading_ahead import THREAD_NAME

# What EX_SOFTWARE means to the shell; no code of ours, so that no script takes a crash for an outcome.
_OUR_FAULT = 70
_COMMON = {
    "-q": "--quiet",
    "--quiet": "--quiet",
    "-v": "--verbose",
    "--verbose": "--verbose",
    "--debug": "--debug",
    "--log-json": "--log-json",
}
# typer carries its own click, whose errors it doesn't name; this is their common ancestor.
_ClickError: type[Exception] = next(base for base in typer.BadParameter.__mro__ if base.__name__ == "ClickException")

app = typer.Typer(
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    no_args_is_help=True,
    context_settings={"help_option_names": ["-h", "--help"]},
    help="AI feedback for alignment: response pairs in, labels that a trainer can trust out.",
    epilog="Common options may stand anywhere on the line. Docs: docs/ in the project.",
)
app.command("label", epilog=label.EPILOG)(label.label)
app.command("evaluate", epilog=evaluate.EPILOG)(evaluate.evaluate)
app.command("doctor", epilog=doctor.EPILOG)(doctor.doctor)
app.command("report", epilog=report.EPILOG)(report.report)
app.command("export", epilog=export.EPILOG)(export.export)
app.add_typer(prompts.app, name="prompts")
app.add_typer(store.app, name="store")
app.add_typer(train.app, name="train")


@dataclass(frozen=True, slots=True)
class Common:
    """What every command is told: how to speak, what aifeedback.toml says, and what the environment sets."""

    screen: Screen
    config: config_file.Config
    from_environment: frozenset[str]


def _version(wanted: bool) -> None:  # noqa: FBT001 - typer calls it so
    if wanted:
        typer.echo(f"aifeedback {__version__}")
        raise typer.Exit


@app.callback()
def common(
    ctx: typer.Context,
    *,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Say nothing but errors.")] = False,
    verbose: Annotated[bool, typer.Option("--verbose", "-v", help="Say more.")] = False,
    debug: Annotated[bool, typer.Option("--debug", help="Log requests (never keys), and show tracebacks.")] = False,
    log_json: Annotated[
        bool, typer.Option("--log-json", help="Notes, progress and the summary as JSON lines on stderr.")
    ] = False,
    config: Annotated[
        str, typer.Option("--config", metavar="FILE", help="aifeedback.toml to use; default: the nearest one upward.")
    ] = "",
    version: Annotated[
        bool, typer.Option("--version", help="Print the version.", callback=_version, is_eager=True)
    ] = False,
) -> None:
    """Take in what is common to all commands."""
    del version
    commands = getattr(ctx.command, "commands", {})
    flags = {name: _flags(command) for name, command in commands.items()}
    own = {
        name: flag for name, flag in _flags(ctx.command).items() if name in {"quiet", "verbose", "debug", "log-json"}
    }
    chosen = config or os.environ.get("AIFEEDBACK_CONFIG", "")
    loaded = config_file.load(Path(chosen) if chosen else config_file.find(Path.cwd()), {"": own, **flags})
    said = {"quiet": quiet, "verbose": verbose, "debug": debug, "log_json": log_json}
    unsaid = config_file.defaults(loaded, "", own, os.environ)
    screen = ctx.obj  # the one that errors are told on, too
    for mode, value in said.items():
        unset = str(unsaid.get(mode, "")).lower() not in {"true", "1", "yes", "on"}
        setattr(screen, mode, value or not unset)
    name = ctx.invoked_subcommand or ""
    ctx.obj = Common(screen, loaded, config_file.given_in(os.environ, flags.get(name, {})))
    if screen.debug or screen.verbose:
        import logging

        logging.basicConfig(stream=sys.stderr, level=logging.WARNING)
        logging.getLogger("aifeedback").setLevel(logging.DEBUG if screen.debug else logging.INFO)
    if name in commands:
        ctx.default_map = {name: _default_map(commands[name], name, loaded)}


def _default_map(command: object, name: str, loaded: config_file.Config) -> dict[str, object]:
    """Defaults for a command, or for each of those below it (`store stats`)."""
    inner = getattr(command, "commands", None)
    if inner is None:
        return config_file.defaults(loaded, name, _flags(command, below=False), os.environ)
    return {each: _default_map(below, name, loaded) for each, below in inner.items()}


def _flags(command: object, *, below: bool = True) -> dict[str, config_file.Flag]:
    """A command's options, and those of the commands below it, by their long names without dashes."""
    inner = getattr(command, "commands", {}) if below and command is not None else {}
    flags: dict[str, config_file.Flag] = {}
    for each in inner.values():
        flags |= _flags(each)
    for parameter in getattr(command, "params", []):
        for option in parameter.opts:
            if option.startswith("--") and parameter.name != "help":
                flags[option.removeprefix("--")] = config_file.Flag(parameter.name, parameter.multiple)
    return flags


def _hoisted(arguments: Sequence[str]) -> list[str]:
    """The common options moved to the front, where the parser expects them."""
    front, rest = [], []
    waiting = iter(arguments)
    for argument in waiting:
        if argument == "--":
            rest += [argument, *waiting]
        elif argument in _COMMON:
            front.append(_COMMON[argument])
        elif rest[:1] == ["train"]:
            rest.append(argument)  # its --config is the trainer's
        elif argument == "--config":
            front += [argument, *[value for value in [next(waiting, None)] if value is not None]]
        elif argument.startswith("--config="):
            front.append(argument)
        else:
            rest.append(argument)
    return front + rest


def run(arguments: Sequence[str]) -> int:
    """Run one command and return its exit code."""
    hoisted = _hoisted(arguments)
    screen = Screen(quiet="--quiet" in hoisted, debug="--debug" in hoisted, log_json="--log-json" in hoisted)
    try:
        code = app(args=hoisted, prog_name="aifeedback", standalone_mode=False, obj=screen)
    except AifeedbackError as error:
        if screen.debug:
            screen.line(traceback.format_exc().rstrip())
        screen.error(str(error))
        for note in getattr(error, "__notes__", ()):
            screen.note(note)
        return 2
    except _ClickError as error:
        if type(error).__name__ == "NoArgsIsHelpError":
            screen.line(error.format_message())  # type: ignore[attr-defined] # every ClickException has it
        else:
            screen.error(_usage(error))
        return 2
    except typer.Abort:
        return 130
    except (BrokenPipeError, SystemExit) as ended:
        # The parser makes a failure of a reader that has seen enough, and a stdout of its own that nothing is flushed to.
        if isinstance(ended, SystemExit) and type(sys.stdout).__name__ != "PacifyFlushWrapper":
            raise
        # What Python would flush at its end has nowhere to go.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except Exception as error:  # noqa: BLE001 - the one place where everything is met
        if screen.debug:
            screen.line(traceback.format_exc().rstrip())
        stored = " Replies so far are stored." if {"label", "evaluate"} & set(hoisted) else ""
        screen.error(
            f"a fault of aifeedback itself: {type(error).__name__}: {error}.{stored} --debug shows where; please report it."
        )
        return _OUR_FAULT
    return code if isinstance(code, int) else 0


def _usage(error: Exception) -> str:
    message = error.format_message().rstrip(".")  # type: ignore[attr-defined] # every ClickException has it
    context = getattr(error, "ctx", None)
    command = context.command_path if context is not None else "aifeedback"
    message = message.removesuffix("?").replace("Value error, ", "") + ("?" if message.endswith("?") else ".")
    words = context.command_path.split() if context is not None else []
    if type(error).__name__ == "NoSuchOption" and words[1:2] == ["train"] and not message.endswith("?"):
        advice = train.flag_meant(words[-1], error.option_name)  # type: ignore[attr-defined] # every NoSuchOption has it
        message += f" {advice}" * bool(advice)
    return f"{message} See {command} --help."


def main() -> None:
    """Entry point."""
    code = run(sys.argv[1:])
    if any(thread.name == THREAD_NAME for thread in threading.enumerate()):
        # A reader still waits for a pipe that is no longer wanted; Python would trip over it on its way out.
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)
    sys.exit(code)


if __name__ == "__main__":
    main()
