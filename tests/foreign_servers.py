"""Servers with an OpenAI-compatible API that others wrote, started as they are: LiteLLM's proxy, and `transformers serve`.

Both start at once, with the first test that asks for one, and stop at the end. The workers of a run share them: starting
them takes ten seconds, and half a GB for each.
"""

from __future__ import annotations

import fcntl
import json
import os
import re
import socket
import subprocess
import sys
import time
import urllib.request
import warnings
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass
from importlib.util import find_spec
from pathlib import Path

import pytest

MASTER_KEY = "sk-the-only-key-that-this-proxy-knows-0123456789"
FIRST_AS_TAG = "Both say it, the first says it better. [[A]]"
FIRST_AS_JSON = '{"analysis": "Both say it, the first says it better.", "verdict": "A"}'
_PATIENCE_S = 120.0

Process = subprocess.Popen[bytes]

# What the proxy says when it refuses depends on the provider behind it, also where the reply is a mock.
_MOCKED = {
    "gpt-4o": ("openai/gpt-4o", FIRST_AS_JSON),
    "gpt-5-mini": ("openai/gpt-5-mini", FIRST_AS_JSON),
    "llama-on-replicate": ("replicate/meta/llama-3", FIRST_AS_JSON),
    "tags": ("openai/gpt-4o", FIRST_AS_TAG),
    "empty": ("openai/gpt-4o", ""),
    "full": ("openai/gpt-4o", "litellm.ContextWindowExceededError"),
    "limited": ("openai/gpt-4o", "litellm.RateLimitError"),
    "broken": ("openai/gpt-4o", "litellm.InternalServerError"),
}


@dataclass(frozen=True)
class ForeignServer:
    """A server that runs, and the file that it logs to."""

    url: str
    log: str
    key: str = ""

    def answered(self, mark: str) -> Counter[int]:
        """How often it has answered a question whose query string is `mark` with which status, by its own account."""
        said = Path(self.log).read_text(encoding="utf-8", errors="replace")
        asked = rf'POST /v1/chat/completions\?{re.escape(mark)} HTTP/1\.1" (\d+)'
        return Counter(int(status) for status in re.findall(asked, said))


@dataclass(frozen=True)
class ForeignServers:
    """Both of them; the proxy's model `judge` is the other server's."""

    litellm: ForeignServer
    transformers: ForeignServer


@pytest.fixture(scope="session")
def foreign_servers(tmp_path_factory: pytest.TempPathFactory, worker_id: str) -> Iterator[ForeignServers]:
    """Two servers with models made on the spot; the worker that comes first runs them for all."""
    _need("litellm", "fastapi", "uvicorn", "openai", "torch")
    base = tmp_path_factory.getbasetemp()
    folder = (base if worker_id == "master" else base.parent) / "foreign"
    folder.mkdir(exist_ok=True)
    said = folder / "servers.json"
    with ExitStack() as running, (folder / "start").open("w") as start, (folder / "in_use").open("w") as in_use:
        fcntl.flock(start, fcntl.LOCK_EX)
        mine = not said.exists()
        if mine:
            said.write_text(json.dumps([asdict(server) for server in _started(folder, running)]))
        transformers, litellm = (ForeignServer(**server) for server in json.loads(said.read_text()))
        fcntl.flock(in_use, fcntl.LOCK_SH)
        fcntl.flock(start, fcntl.LOCK_UN)
        yield ForeignServers(litellm, transformers)
        if mine:
            fcntl.flock(start, fcntl.LOCK_EX)  # who comes from now on starts its own
            fcntl.flock(in_use, fcntl.LOCK_EX)  # once all others are done
            said.unlink()


def _started(folder: Path, running: ExitStack) -> tuple[ForeignServer, ForeignServer]:
    proxy, serving = _free_port(), _free_port()
    transformers, serves = running.enter_context(_transformers(folder / f"transformers-{serving}", serving))
    litellm, proxies = running.enter_context(_litellm(folder / f"litellm-{proxy}", proxy, transformers.url))
    _await(transformers, serves)
    _await(litellm, proxies)
    return transformers, litellm


@pytest.fixture(scope="session")
def litellm_proxy(foreign_servers: ForeignServers) -> ForeignServer:
    """LiteLLM's proxy, with mock replies and with `judge`, which it asks of the other server."""
    return foreign_servers.litellm


@pytest.fixture(scope="session")
def transformers_serve(foreign_servers: ForeignServers) -> ForeignServer:
    """`transformers serve` with two models: `judge` sees which response is right, `babbler` has random weights."""
    return foreign_servers.transformers


@contextmanager
def _transformers(folder: Path, port: int) -> Iterator[tuple[ForeignServer, Process]]:
    from tests.tiny_models import tiny_judge, tiny_model

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        tiny_judge(folder / "judge")
        tiny_model(folder / "babbler")
    entry = "from transformers.cli.transformers import main; main()"
    command = [sys.executable, "-c", entry, "serve", "--host", "127.0.0.1", "--port", str(port), "--device", "cpu"]
    # A model that lies in its working directory goes by its folder's name.
    with _running(command, folder, {"HF_HUB_OFFLINE": "1"}) as process:
        yield ForeignServer(f"http://127.0.0.1:{port}/v1", str(folder / "log")), process


@contextmanager
def _litellm(folder: Path, port: int, behind: str) -> Iterator[tuple[ForeignServer, Process]]:
    folder.mkdir()
    models = {name: {"model": model, "mock_response": said} for name, (model, said) in _MOCKED.items()}
    models["judge"] = {"model": "hosted_vllm/judge", "api_base": behind}
    config = {
        "model_list": [
            {"model_name": name, "litellm_params": parameters | {"api_key": "unused"}}
            for name, parameters in models.items()
        ],
        "router_settings": {"num_retries": 0},
        "general_settings": {"master_key": MASTER_KEY},
    }
    (folder / "config.yaml").write_text(json.dumps(config))  # JSON is YAML
    entry = "from litellm import run_server; run_server()"
    command = [sys.executable, "-c", entry, "--config", "config.yaml", "--host", "127.0.0.1", "--port", str(port)]
    quiet = {"LITELLM_LOCAL_MODEL_COST_MAP": "True", "LITELLM_TELEMETRY": "False"}
    with _running(command, folder, quiet) as process:
        yield ForeignServer(f"http://127.0.0.1:{port}/v1", str(folder / "log"), MASTER_KEY), process


@contextmanager
def _running(command: Sequence[str], folder: Path, said: Mapping[str, str]) -> Iterator[Process]:
    kept = {name: os.environ[name] for name in ("PATH", "LANG", "TMPDIR") if name in os.environ}
    env = kept | {"HOME": str(folder), "OMP_NUM_THREADS": "1", "PYTHONUNBUFFERED": "1", "NO_COLOR": "1"} | dict(said)
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(
            command, cwd=folder, env=env, stdin=subprocess.DEVNULL, stdout=log, stderr=subprocess.STDOUT
        )
    try:
        yield process
    finally:
        process.terminate()
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _await(server: ForeignServer, process: Process) -> None:
    """Return once it answers. Raises with its own last words where it does not."""
    request = urllib.request.Request(server.url + "/models", headers={"Authorization": f"Bearer {server.key}"})
    direct = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    until = time.monotonic() + _PATIENCE_S
    while True:
        try:
            with direct.open(request, timeout=5):
                return
        except OSError as error:
            if process.poll() is not None or time.monotonic() > until:
                said = Path(server.log).read_text(encoding="utf-8", errors="replace")[-2000:]
                raise RuntimeError(f"no answer at {request.full_url}: {error}. It said: {said}") from error
            time.sleep(0.1)


def _free_port() -> int:
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        return int(listening.getsockname()[1])


def _need(*modules: str) -> None:
    missing = ", ".join(module for module in modules if find_spec(module) is None)
    if missing and not os.environ.get("CI"):
        pytest.skip(f"{missing} is not installed; pip install -e '.[dev]' brings it")
    assert not missing, f"{missing} is missing, and with it what the extra `dev` names"
