"""Someone who knows TRL and nothing of us: each exported file into its trainer's own preparation. Run by test_exports_load.py."""

import json
import sys
from pathlib import Path

from datasets import load_dataset
from transformers import AutoTokenizer
from trl import DPOConfig, DPOTrainer, KTOConfig, KTOTrainer, RewardConfig, RewardTrainer

if __name__ == "__main__":
    model, files, work = sys.argv[1], Path(sys.argv[2]), Path(sys.argv[3])
    tokenizer = AutoTokenizer.from_pretrained(model)
    said = {}
    common = {"use_cpu": True, "bf16": False, "report_to": "none", "disable_tqdm": True, "max_length": None}
    for shape in ("text", "messages"):
        for name, trainer, config in (
            ("trl", DPOTrainer, DPOConfig),
            ("trl-implicit", DPOTrainer, DPOConfig),
            ("trl-kto", KTOTrainer, KTOConfig),
            ("trl-reward", RewardTrainer, RewardConfig),
            ("trl-implicit", RewardTrainer, RewardConfig),
            ("parquet", DPOTrainer, DPOConfig),
        ):
            kind = "parquet" if name == "parquet" else "json"
            path = str(files / f"{shape}.{name}.{kind}")
            rows = load_dataset(kind, data_files=path, split="train", cache_dir=str(work / "cache"))
            more = {"per_device_train_batch_size": 2} if trainer is KTOTrainer else {}
            made = trainer(
                model=model,
                args=config(output_dir=str(work / "out"), **common, **more),
                train_dataset=rows,
                processing_class=tokenizer,
            )
            prepared = made.train_dataset
            fields = [field for field in prepared.column_names if field.endswith("_ids") and not field.startswith("KL")]
            texts = [{field: tokenizer.decode(row[field]) for field in fields} for row in prepared]
            for text, row in zip(texts, prepared, strict=True):
                text |= {field: row[field] for field in ("label", "margin") if field in row}
            said[f"{shape} {name} {trainer.__name__}"] = texts
    print(json.dumps(said))
