"""Whether the extra that the statistics come from is there."""

from __future__ import annotations

from importlib.util import find_spec

from aifeedback.errors import SettingsError

_NEEDED = ("numpy", "scipy")


def require() -> None:
    """Raise SettingsError where a library is missing: before anything is asked."""
    missing = [name for name in _NEEDED if find_spec(name) is None]
    if missing:
        raise SettingsError(
            f"evaluate needs {' and '.join(missing)}, which {'is' if len(missing) == 1 else 'are'} not installed. pip install 'aifeedback[evaluate]' brings all of it (in a checkout: '.[evaluate]')."
        )
