"""`python -m aifeedback.testing`: starts the test server; see docs/testing.md."""

from __future__ import annotations

import argparse
import asyncio
import ssl
import sys
from pathlib import Path

from aifeedback.errors import AifeedbackError, SettingsError
from aifeedback.testing.answers import WINNERS, Answering, either, judged, scripted, with_odds
from aifeedback.testing.faults import KINDS, Conditions, conditions_from
from aifeedback.testing.logprobs import parse_odds
from aifeedback.testing.replay import replay_answers
from aifeedback.testing.tally import Tally


def main() -> int:
    """Read the command line and serve until a signal. Returns the exit code."""
    options = _parser().parse_args()
    try:
        answering = _answering(options)
        named = {name: getattr(options, name) for name in Conditions.__slots__ if name != "by_model"}
        conditions = conditions_from(named, Conditions())
        _serve(options, answering, conditions)
    except (AifeedbackError, OSError) as error:
        sys.stderr.write(f"Error: {error}\n")
        return 2
    return 0


def _serve(options: argparse.Namespace, answering: Answering, conditions: Conditions) -> None:
    # Here, so that --help and wrong options need no aiohttp.
    from aifeedback.testing.listening import serve
    from aifeedback.testing.service import Service

    service = Service(answering, conditions, Tally(options.keep), options.models)
    tls = None
    if options.certificate:
        tls = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        tls.load_cert_chain(options.certificate)
    asyncio.run(serve(service, options.host, options.port, tls=tls, until_stdin_closes=options.until_stdin_closes))


def _answering(options: argparse.Namespace) -> Answering:
    """Recorded answers before scripted ones before a judgment, as far as each is wanted."""
    answerings: list[Answering] = []
    if bool(options.replay) != bool(options.pairs):
        raise SettingsError("--replay and --pairs go together. Name both files.")
    if options.replay:
        answerings.append(replay_answers(options.pairs, options.replay, options.strategy))
    if options.script:
        answerings.append(scripted(options.script))
    if options.answer or not answerings:
        answerings.append(judged(options.answer or "fair"))
    answering = either(answerings)
    return with_odds(answering, parse_odds(options.logprobs, options.spanning)) if options.logprobs else answering


def _parser() -> argparse.ArgumentParser:
    kinds = "\n".join(f"  {kind:20}{what}" for kind, what in KINDS.items())
    parser = argparse.ArgumentParser(
        prog="python -m aifeedback.testing",
        description="An OpenAI-compatible chat completions server that needs no model and fails as it is told.",
        epilog=f"KIND is one of\n{kinds}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument
    add("--host", default="127.0.0.1", help="where to listen")
    add("--port", type=int, default=0, help="0 takes any free one")
    add("--certificate", type=Path, help="speak TLS: a PEM file with the key and the certificates")
    add("--answer", choices=WINNERS, help="who wins (default: fair, by a hash of the two texts)")
    add("--script", type=Path, help='JSON lines {"match": part of the prompt, "content": the reply}')
    add("--replay", type=Path, help="recorded replies: JSON lines with id, order, raw_output; needs --pairs")
    add("--pairs", type=Path, help="the pairs that --replay speaks of")
    add("--strategy", default="", help="which of the recorded strategies to replay")
    add("--logprobs", default="", metavar="A:0.6,B:0.4", help="the verdict token's distribution, for who asks for it")
    add("--spanning", choices=("before", "after", "both"), default="", help="that token holds the quote beside it too")
    add("--models", nargs="+", default=["test-critic"], help="what GET /models lists")
    add("--keep", type=int, default=1000, help="how many requests GET /_requests remembers")
    add("--fault", dest="faults", action="append", default=[], metavar="KIND[:RATE[:VALUE]]", help="repeatable")
    add("--attempts", type=int, default=0, help="faults strike only the first N attempts of a question")
    add("--seed", type=int, default=0, help="of the faults")
    add("--max-in-flight", type=int, default=0, help="answer 429 to more at the same time")
    add("--rpm", type=float, default=0.0, help="answer 429 to more a minute, with x-ratelimit headers")
    add("--down-after", type=int, default=0, help="go away after N answers")
    add("--down-for", type=float, default=0.0, help="come back after so many seconds (0: never)")
    add("--slower-after", type=int, default=0, help="after N answers latency and jitter are longer")
    add("--slower-by", type=float, default=10.0, help="so many times as long")
    add("--until-stdin-closes", action="store_true", help="stop when whoever holds stdin is gone")
    return parser


if __name__ == "__main__":
    sys.exit(main())
