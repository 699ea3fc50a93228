"""A model as a Hugging Face directory that transformers and vLLM's OpenAI server both load."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import Any

from transformers import GenerationConfig

from actors.durable import sync
from train_jobs.receipt import finished, write_receipt

CONFIG, WEIGHTS = "config.json", "model.safetensors"


def write_model(directory: Path, model: Any, tokenizer: Any) -> None:
    """Writes weights (safetensors, float32), tokenizer and chat template to `directory`, under a receipt.

    The directory appears under its name only when whole; one that is already there and verifies is left
    alone.
    """
    if finished(directory) is not None:
        return
    making = directory.with_name(f".{directory.name}-{os.getpid()}")
    shutil.rmtree(making, ignore_errors=True)
    model.generation_config = GenerationConfig(
        do_sample=False, eos_token_id=tokenizer.eos_token_id, pad_token_id=tokenizer.pad_token_id
    )
    model.save_pretrained(str(making), safe_serialization=True)
    tokenizer.save_pretrained(str(making), save_jinja_files=False)
    write_receipt(making, {})
    shutil.rmtree(directory, ignore_errors=True)
    making.rename(directory)
    sync(directory.parent)
