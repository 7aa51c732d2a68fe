"""The trained model as files that load: an adapter, or plain weights."""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from aifeedback.training.settings import TrainSettings

if TYPE_CHECKING:
    from transformers import Trainer

ADAPTER = "adapter"
# peft writes a card, in whose place ours is put.
_CARD = "README.md"
_Stamps = Mapping[Path, tuple[int, int]]


def save(trainer: Trainer, settings: TrainSettings, output: Path) -> Mapping[str, str]:
    """Write the model and its tokenizer to `output`. Every process has to call it.

    Merged, it is plain weights in `output`, and the adapter by itself below it. A folder that held both would load as
    the merged weights with the adapter once more on top. Gives the SHA-256 of each file, by its name in `output`.
    """
    before = _stamps(output)
    trainer.save_model(str(output / ADAPTER if settings.merge else output))
    if not trainer.is_world_process_zero():
        return {}
    if settings.merge:
        _merge(settings, output)
    for folder in (output, output / ADAPTER):
        # A pickle of this machine's settings, and the frozen copy of an adapter that training went on from.
        (folder / "training_args.bin").unlink(missing_ok=True)
        shutil.rmtree(folder / "ref", ignore_errors=True)
    written = [path for path, stamp in _stamps(output).items() if before.get(path) != stamp]
    return {str(path.relative_to(output)): _sha256(path) for path in written}


def _merge(settings: TrainSettings, output: Path) -> None:
    """Merge in float32, whatever the model was trained in, and keep the base's own precision."""
    import torch
    from peft import PeftConfig, PeftModel
    from transformers import AutoConfig, AutoModelForCausalLM, AutoTokenizer

    base = PeftConfig.from_pretrained(output / ADAPTER).base_model_name_or_path
    of_base = {"revision": settings.revision or "main", "trust_remote_code": settings.trusts_code}
    plain = AutoModelForCausalLM.from_pretrained(base, dtype=torch.float32, **of_base)
    merged: Any = PeftModel.from_pretrained(plain, output / ADAPTER).merge_and_unload()
    own = AutoConfig.from_pretrained(base, **of_base).dtype or torch.float32
    merged.to(own).save_pretrained(output)
    tokenizer: Any = AutoTokenizer.from_pretrained(output / ADAPTER, trust_remote_code=settings.trusts_code)
    tokenizer.save_pretrained(output)


def _stamps(output: Path) -> _Stamps:
    """What shows that a file was written since: its time and size."""
    found: dict[Path, tuple[int, int]] = {}
    for folder in (output, output / ADAPTER):
        for path in sorted(folder.iterdir()) if folder.is_dir() else ():
            if path.is_file() and path.name != _CARD:
                found[path] = (path.stat().st_mtime_ns, path.stat().st_size)
    return found


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
