"""TRL's trainer for a run: the model, its tokenizer and adapter, the rows it needs and nothing else."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from aifeedback.errors import SettingsError
from aifeedback.records import Content
from aifeedback.training.examples import Demonstration, Example, PreferencePair, Thumb
from aifeedback.training.limits import first_line, while_loading
from aifeedback.training.model_files import ModelFiles
from aifeedback.training.settings import TrainSettings
from aifeedback.training.tokens import load_tokenizer

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase, Trainer

_ALL_BUT_THE_HEAD = "all-linear"


def rows_of(examples: Sequence[Example], *, soft: bool) -> list[dict[str, object]]:
    """What TRL is given: the columns it needs and no other, since it takes some for something else (training.md)."""
    return [_row(example, soft=soft) for example in examples]


def _row(example: Example, *, soft: bool) -> dict[str, object]:
    match example:
        case PreferencePair():
            row: dict[str, object] = {
                "prompt": _plain(example.prompt),
                "chosen": _plain(example.chosen),
                "rejected": _plain(example.rejected),
            }
            return row | ({"preference": example.preference} if soft else {})
        case Demonstration():
            return {"prompt": _plain(example.prompt), "completion": _plain(example.completion)}
        case Thumb():
            return {"prompt": _plain(example.prompt), "completion": _plain(example.completion), "label": example.up}


def _plain(content: Content) -> object:
    if isinstance(content, str):
        return content
    return [{"role": message.role, "content": message.content} for message in content]


def build(
    settings: TrainSettings,
    arguments: Mapping[str, object],
    train: Sequence[Example],
    held_out: Sequence[Example],
    tokenizer: PreTrainedTokenizerBase,
    files: ModelFiles,
) -> Trainer:
    """The trainer of the model that `files` belong to, ready to train.

    Raises SettingsError for what TRL or the model's library refuses, StopRun where memory ends.
    """
    from datasets import Dataset
    from transformers import PrinterCallback

    soft = settings.soft_labels != "off"
    config = _config(settings, arguments)
    extra: dict[str, Any] = {}
    if soft:
        extra["data_collator"] = _soft_collator(config, tokenizer)
    with while_loading(settings.model):
        model, adapter = _policy(settings, config, files)
        trainer: Trainer = _trainer_class(settings)(
            model=model,
            args=config,
            train_dataset=Dataset.from_list(rows_of(train, soft=soft)),
            eval_dataset=Dataset.from_list(rows_of(held_out, soft=soft)) if held_out else None,
            processing_class=tokenizer,
            peft_config=adapter,
            quantization_config=_quantization(settings) if isinstance(model, str) else None,
            **extra,
        )
    trainer.remove_callback(PrinterCallback)  # it speaks to stdout
    return trainer


def _trainer_class(settings: TrainSettings) -> type[Any]:
    """TRL's trainer with held-out figures by rows, and with soft labels where they are wanted."""
    import trl

    from aifeedback.training.evaluation import by_rows
    from aifeedback.training.soft_labels import soft_trainer

    if settings.soft_labels != "off":
        return by_rows(soft_trainer(settings.soft_labels), "dpo")
    known: dict[str, type[Any]] = {"dpo": trl.DPOTrainer, "sft": trl.SFTTrainer, "kto": trl.KTOTrainer}
    return by_rows(known[settings.kind], settings.kind)


def _soft_collator(config: Any, tokenizer: PreTrainedTokenizerBase) -> Any:  # noqa: ANN401 - a config of TRL's
    from trl.trainer.dpo_trainer import DataCollatorForPreference

    from aifeedback.training.soft_labels import soft_collator

    return soft_collator(
        DataCollatorForPreference(
            pad_token_id=tokenizer.pad_token_id,
            max_length=config.max_length,
            truncation_mode=config.truncation_mode,
            pad_to_multiple_of=config.pad_to_multiple_of,
        )
    )


def _config(settings: TrainSettings, arguments: Mapping[str, object]) -> Any:  # noqa: ANN401 - a config of TRL's
    import trl

    kind = {"dpo": trl.DPOConfig, "sft": trl.SFTConfig, "kto": trl.KTOConfig}[settings.kind]
    try:
        return kind(**arguments)
    except (ValueError, TypeError, ImportError) as error:
        raise SettingsError(f"the trainer refuses these settings: {first_line(error)}") from error


def padded_tokenizer(files: ModelFiles, *, trust_remote_code: bool) -> PreTrainedTokenizerBase:
    """The model's tokenizer, with a padding token. Raises SettingsError where there is none."""
    tokenizer = load_tokenizer(files, trust_remote_code=trust_remote_code)
    if tokenizer.pad_token is None:
        if tokenizer.eos_token is None:
            raise SettingsError(f"{files.name}: its tokenizer has neither a padding nor an end token. Set one in it.")
        tokenizer.pad_token = tokenizer.eos_token
    return tokenizer


def _policy(settings: TrainSettings, config: Any, files: ModelFiles) -> tuple[Any, Any]:  # noqa: ANN401 - TRL's, peft's
    """The model as TRL takes it, and the adapter that is to be trained on it.

    An adapter is gone on with: TRL keeps a frozen copy of it as the reference model.
    """
    if files.adapter is not None:
        return _adapted(settings, config, files), None
    folder = Path(settings.model)
    return (str(folder.resolve()) if folder.is_dir() else settings.model), _adapter(settings)


def _adapted(settings: TrainSettings, config: Any, files: ModelFiles) -> Any:  # noqa: ANN401
    from peft import PeftModel
    from trl.trainer.utils import create_model_from_path

    more = dict(config.model_init_kwargs or {})
    if (quantization := _quantization(settings)) is not None:
        more["quantization_config"] = quantization
    config.model_init_kwargs = None
    base = create_model_from_path(files.base, **{"trust_remote_code": settings.trusts_code, **more})
    return PeftModel.from_pretrained(base, files.name, is_trainable=True)


def _adapter(settings: TrainSettings) -> Any:  # noqa: ANN401 - peft's
    rank = settings.rank
    if rank is None:
        return None
    from peft import LoraConfig

    said = {"lora_alpha": 2 * rank, "target_modules": _ALL_BUT_THE_HEAD, **settings.lora_more, "r": rank}
    try:
        return LoraConfig(**{"task_type": "CAUSAL_LM", **said})
    except (TypeError, ValueError) as error:
        raise SettingsError(f"peft refuses these lora settings: {first_line(error)}") from error


def _quantization(settings: TrainSettings) -> Any:  # noqa: ANN401 - transformers'
    """QLoRA's four bits: NF4, quantised twice, computing in bfloat16 (Dettmers et al. 2023, arXiv:2305.14314)."""
    if not settings.four_bit:
        return None
    from importlib.util import find_spec

    if find_spec("bitsandbytes") is None:
        raise SettingsError("--4bit needs one more package. Install it with: pip install bitsandbytes")
    import torch
    from transformers import BitsAndBytesConfig

    return BitsAndBytesConfig(
        load_in_4bit=True,
        bnb_4bit_quant_type="nf4",
        bnb_4bit_use_double_quant=True,
        bnb_4bit_compute_dtype=torch.bfloat16,
    )
