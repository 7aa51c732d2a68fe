"""An OpenAI-compatible endpoint in a process of its own, started and stopped by a test."""

from __future__ import annotations

import atexit
import http.client
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Protocol, Self, TypedDict, Unpack
from urllib.parse import urlsplit

from aifeedback.errors import SettingsError
from aifeedback.testing.logprobs import Spanning

_ROOT = Path(__file__).parents[2]
_PATIENCE_S = 30


class Change(TypedDict, total=False):
    """What can change while the server runs; see `Conditions` in aifeedback.testing.faults."""

    attempts: int
    seed: int
    max_in_flight: int
    rpm: float
    down_after: int
    down_for: float
    slower_after: int
    slower_by: float


class Options(Change, total=False):
    """The options of `python -m aifeedback.testing`."""

    faults: Sequence[str]
    answer: str
    script: str | Path
    replay: str | Path
    pairs: str | Path
    strategy: str
    logprobs: str
    spanning: Spanning
    models: Sequence[str]
    keep: int
    port: int
    certificate: str | Path


class Server:
    """A test server that runs from here on until `stop`, the end of its `with` block or of this process.

    `url` is the base URL to give to a client. Raises SettingsError where the server does not start, with its words.
    """

    def __init__(self, **options: Unpack[Options]) -> None:
        self._errors = tempfile.TemporaryFile()  # noqa: SIM115 - lives as long as the process
        self._process = subprocess.Popen(  # noqa: S603 - this interpreter, this package
            [sys.executable, "-m", "aifeedback.testing", "--until-stdin-closes", *_flags(options)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._errors,
            env=_environment(),
        )
        atexit.register(self.kill)
        assert self._process.stdout is not None
        ready = self._process.stdout.readline()
        if not ready:
            self._process.wait()
            said = self._said()
            self.kill()
            raise SettingsError(f"The test server did not start: {said}")
        addresses = json.loads(ready)
        self.url: str = addresses["url"]
        self._control: str = addresses["control"]

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def stats(self) -> dict[str, Any]:
        """What was counted since the start or the last `reset`."""
        return self._ask("GET", "/_stats")

    def requests(self, since: int = 0) -> list[dict[str, Any]]:
        """The latest requests after the `since`-th, oldest first: `n`, `path`, `query`, `headers`, `body`."""
        found: list[dict[str, Any]] = self._ask("GET", f"/_requests?since={since}")["requests"]
        return found

    def faults(
        self, *faults: str, by_model: Mapping[str, Sequence[str]] | None = None, **change: Unpack[Change]
    ) -> None:
        """Have these faults from now on instead of the former ones. Raises SettingsError for one that is none.

        A model that `by_model` names has its own instead.
        """
        self._ask("POST", "/_faults", {"faults": faults, "by_model": by_model or {}, **change})

    def reset(self) -> None:
        """Count from zero again, attempts at each question included; faults stay."""
        self._ask("POST", "/_reset")

    def stop(self) -> None:
        """End the server in good order; more than once does no harm."""
        if self._process.poll() is None:
            self._process.terminate()
            try:
                self._process.wait(_PATIENCE_S)
            except subprocess.TimeoutExpired:
                self._process.kill()
        self._tidy()

    def kill(self) -> None:
        """End the server on the spot, as a crash would."""
        self._process.kill()
        self._tidy()

    def _tidy(self) -> None:
        self._process.wait()
        for stream in (self._process.stdin, self._process.stdout, self._errors):
            if stream is not None:
                stream.close()
        atexit.unregister(self.kill)

    def _said(self) -> str:
        self._errors.seek(0)
        lines = self._errors.read().decode("utf-8", "replace").strip().splitlines()
        return lines[-1] if lines else f"it ended with exit code {self._process.returncode}."

    def _ask(self, method: str, path: str, value: object = None) -> dict[str, Any]:
        connection = http.client.HTTPConnection(urlsplit(self._control).netloc, timeout=_PATIENCE_S)
        try:
            connection.request(method, path, body=None if value is None else json.dumps(value))
            response = connection.getresponse()
            answer: dict[str, Any] = json.loads(response.read())
        finally:
            connection.close()
        if response.status != http.client.OK:
            raise SettingsError(answer["error"]["message"])
        return answer


class StartServer(Protocol):
    """What the fixture `critic_server` is: called with the options of a Server, it starts one."""

    def __call__(self, **options: Unpack[Options]) -> Server:
        """Start it."""


def _flags(options: Options) -> list[str]:
    flags: list[str] = []
    for name, value in options.items():
        if name == "faults":
            flags += [f"--fault={fault}" for fault in options["faults"]]
        elif name == "models":
            flags += ["--models", *options["models"]]
        else:
            flags.append(f"--{name.replace('_', '-')}={value}")
    return flags


def _environment() -> dict[str, str]:
    """Ours, and the folder in which this package was found, wherever the test runs."""
    path = os.pathsep.join(filter(None, [str(_ROOT), os.environ.get("PYTHONPATH", "")]))
    return {**os.environ, "PYTHONPATH": path}
