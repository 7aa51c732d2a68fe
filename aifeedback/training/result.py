"""The trained model as files that load: an adapter, or plain weights."""

from __future__ import annotations

import contextlib
import hashlib
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from transformers import Trainer

ADAPTER = "adapter"
_NOT_THE_MODEL = ("training.json", "training.html", "README.md")


def save(trainer: Trainer, output: Path, *, merge: bool) -> None:
    """Write the model and its tokenizer to `output`. Every process has to call it.

    `merge`: plain weights in `output`, and the adapter by itself below it. A folder that held both would load as the
    merged weights with the adapter once more on top.
    """
    trainer.save_model(str(output / ADAPTER if merge else output))
    if not trainer.is_world_process_zero():
        return
    if merge:
        _merge(output)
    for folder in (output, output / ADAPTER):
        # A pickle of this machine's settings, and the frozen copy of an adapter that training went on from.
        (folder / "training_args.bin").unlink(missing_ok=True)
        shutil.rmtree(folder / "ref", ignore_errors=True)


def _merge(output: Path) -> None:
    """Merge in float32, whatever the model was trained in, and keep the base's own precision."""
    import torch
    from peft import AutoPeftModelForCausalLM
    from transformers import AutoConfig, AutoTokenizer

    adapted: Any = AutoPeftModelForCausalLM.from_pretrained(output / ADAPTER, dtype=torch.float32)
    base = adapted.peft_config["default"].base_model_name_or_path
    own = AutoConfig.from_pretrained(base).dtype or torch.float32
    adapted.merge_and_unload().to(own).save_pretrained(output)
    tokenizer: Any = AutoTokenizer.from_pretrained(output / ADAPTER)
    tokenizer.save_pretrained(output)


def hashes(output: Path) -> dict[str, str]:
    """The SHA-256 of each file of the model, by its name in `output`."""
    return {str(path.relative_to(output)): _sha256(path) for path in _files(output)}


def _files(output: Path) -> Iterator[Path]:
    for folder in (output, output / ADAPTER):
        with contextlib.suppress(FileNotFoundError):
            yield from sorted(
                path
                for path in folder.iterdir()
                if path.is_file() and path.name not in _NOT_THE_MODEL and not path.name.startswith(".")
            )


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
