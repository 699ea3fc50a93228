"""The small model of the serving benches: a Llama of 2 million random weights with a tokenizer of its own.

The same seed makes the same files. Usage: python -m scripts.bench.serving_model DIRECTORY [--seed N]
"""

from __future__ import annotations

import argparse
from http import HTTPStatus
from pathlib import Path
from typing import Any

POSITIONS = 512


def write_model(directory: Path, seed: int) -> None:
    """As a Hugging Face directory."""
    # Half a GB, which who only wants --help does without.
    import torch
    from transformers import GenerationConfig, LlamaConfig, LlamaForCausalLM

    from train_jobs.tokens import train_tokenizer

    tokenizer = train_tokenizer(texts())
    torch.manual_seed(seed)
    model: Any = LlamaForCausalLM(
        LlamaConfig(
            vocab_size=len(tokenizer),
            hidden_size=192,
            intermediate_size=512,
            num_hidden_layers=3,
            num_attention_heads=3,
            num_key_value_heads=3,
            max_position_embeddings=POSITIONS,
            tie_word_embeddings=True,
            bos_token_id=None,
            eos_token_id=tokenizer.eos_token_id,
            pad_token_id=tokenizer.pad_token_id,
        )
    )
    model.generation_config = GenerationConfig(
        do_sample=False, eos_token_id=tokenizer.eos_token_id, pad_token_id=tokenizer.pad_token_id
    )
    model.save_pretrained(str(directory), safe_serialization=True)
    tokenizer.save_pretrained(str(directory), save_jinja_files=False)


def texts() -> list[str]:
    """What the tokenizer is made from."""
    return [
        f"What does HTTP status {one.value} mean? {one.phrase}. {one.description} Status {one.value} is {one.name}."
        for one in HTTPStatus
    ]


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m scripts.bench.serving_model", description=__doc__)
    parser.add_argument("directory", type=Path)
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    write_model(given.directory, given.seed)


if __name__ == "__main__":
    main()
