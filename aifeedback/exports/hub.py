"""The typed table on its way to the Hugging Face hub, through `datasets`."""

from __future__ import annotations

import re
import shutil
import tempfile
from collections.abc import Sequence
from pathlib import Path

from aifeedback.errors import OutputError, SettingsError

# what the hub's client adds to each failed request
_FOOTNOTE = re.compile(r" For more information check: \S+")


def check_hub() -> None:
    """Raise SettingsError where a push can't work: packages or the token are missing, or the hub is switched off."""
    try:
        import datasets  # noqa: F401 - only whether it is there
        from huggingface_hub import constants, get_token
    except ImportError as error:
        raise SettingsError(f"the hub needs {error.name}. Install it: pip install 'aifeedback[export]'") from error
    if constants.HF_HUB_OFFLINE:
        raise SettingsError("HF_HUB_OFFLINE keeps everything from the hub. Unset it, or use --to parquet.")
    if not get_token():
        raise SettingsError("no token for the hub. Set HF_TOKEN to one that may write, or log in: hf auth login")


class Pushed:
    """Parts of a dataset: gathered as Parquet files in a temporary folder, pushed when they are whole."""

    def __init__(self, repo: str, *, private: bool, parts: Sequence[str]) -> None:
        self._repo = repo
        self._private = private
        self._folder = Path(tempfile.mkdtemp(prefix="aifeedback-"))
        self.paths = {part: str(self._folder / f"{part or 'train'}.parquet") for part in parts}

    def push(self) -> None:
        """Push all parts as one dataset. Raises OutputError."""
        import datasets
        from httpx2 import HTTPError
        from huggingface_hub.errors import HfHubHTTPError, HFValidationError
        from huggingface_hub.utils import are_progress_bars_disabled, disable_progress_bars, enable_progress_bars

        cache = str(self._folder / "cache")
        shown, told = datasets.is_progress_bar_enabled(), datasets.logging.get_verbosity()
        uploads = not are_progress_bars_disabled()
        datasets.disable_progress_bars()
        disable_progress_bars()
        datasets.logging.set_verbosity_error()
        try:
            parts = {
                part or "train": datasets.Dataset.from_parquet(path, cache_dir=cache)
                for part, path in self.paths.items()
            }
            datasets.DatasetDict(parts).push_to_hub(self._repo, private=self._private or None)
        except (HfHubHTTPError, HFValidationError, HTTPError, OSError) as error:
            said = _FOOTNOTE.sub("", " ".join(str(error).split())).rstrip(". ")
            raise OutputError(
                f"{self._repo} can't be pushed: {said}. Check --repo and what the token may do, or use --to parquet."
            ) from error
        finally:
            datasets.logging.set_verbosity(told)
            if shown:
                datasets.enable_progress_bars()
            if uploads:
                enable_progress_bars()

    def clear(self) -> None:
        """Remove what was gathered."""
        shutil.rmtree(self._folder, ignore_errors=True)
