"""A pytest fixture that starts test servers: `pytest_plugins = ["aifeedback.testing.fixtures"]`."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from typing import Unpack

import pytest

from aifeedback.testing.server import Options, Server, StartServer


@pytest.fixture
def critic_server() -> Iterator[StartServer]:
    """Starts a Server each time it is called with options; all are stopped when the test ends."""
    with ExitStack() as running:

        def start(**options: Unpack[Options]) -> Server:
            return running.enter_context(Server(**options))

        yield start
