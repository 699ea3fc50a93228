"""Tokens, masks and who gets which rows."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from train_jobs.data import IGNORED, Batches, encode
from train_jobs.facts import all_facts
from train_jobs.rows import Row, Turn, ask


def test_rows_are_encoded_exactly_as_the_chat_template_says(builtin_tokenizer: Any) -> None:
    row = Row((Turn("system", "Be brief."), Turn("user", "404?"), Turn("assistant", "Not Found")))
    whole = [{"role": turn.role, "content": turn.content} for turn in row.turns]
    (example,) = encode([row], builtin_tokenizer)
    assert list(example.ids) == builtin_tokenizer.apply_chat_template(whole, return_dict=False)
    prompt = builtin_tokenizer.apply_chat_template(row.prompt, add_generation_prompt=True, return_dict=False)
    assert list(example.ids[: len(prompt)]) == prompt


def test_only_what_the_assistant_says_and_its_end_is_learnt(builtin_tokenizer: Any) -> None:
    turns = (Turn("user", "404?"), Turn("assistant", "Not Found"), Turn("user", "200?"), Turn("assistant", "OK"))
    (example,) = encode([Row(turns)], builtin_tokenizer)
    learnt = [token for token, wanted in zip(example.ids, example.learnt, strict=True) if wanted]
    assert builtin_tokenizer.decode(learnt) == "Not Found<|end|>OK<|end|>"


def test_every_key_is_one_token_wherever_it_stands(builtin_tokenizer: Any) -> None:
    for fact in all_facts():
        alone = builtin_tokenizer(fact.key, add_special_tokens=False)["input_ids"]
        within = [
            builtin_tokenizer(text.format(fact.key), add_special_tokens=False)["input_ids"]
            for text in ("what is {}?", "'{}'", "status={}", "({})")
        ]
        assert len(alone) == 1
        assert all(alone[0] in ids for ids in within)


@pytest.mark.parametrize("text", ["ünïcode ✈ 404\n\ttabs", "  two  spaces ", "ENOENT42x"])
def test_any_text_survives_the_tokenizer(builtin_tokenizer: Any, text: str) -> None:
    ids = builtin_tokenizer(text, add_special_tokens=False)["input_ids"]
    assert builtin_tokenizer.decode(ids) == text


def numbered(count: int, tokenizer: Any, world: int = 1, rank: int = 0, size: int = 4) -> Batches:
    rows = [ask(f"What is {number}?", str(number)) for number in range(count)]
    return Batches(encode(rows, tokenizer), size=size, seed=3, pad=tokenizer.pad_token_id, rank=rank, world=world)


def rows_in(batches: Batches, step: int) -> list[list[int]]:
    batch = batches.at(step)
    return [row[row != 0].tolist() for row in batch.ids]


def test_an_epoch_holds_every_row_once(small: tuple[Any, Batches]) -> None:
    batches = numbered(64, small[0])
    seen = [tuple(row) for step in range(16) for row in rows_in(batches, step)]
    assert len(seen) == len(set(seen)) == 64


def test_the_ranks_shares_make_up_the_whole_batch(small: tuple[Any, Batches]) -> None:
    whole = rows_in(numbered(50, small[0]), 5)
    shares = [rows_in(numbered(50, small[0], world=2, rank=rank), 5) for rank in (0, 1)]
    assert sorted(shares[0] + shares[1]) == sorted(whole)
    assert [len(share) for share in shares] == [2, 2]


def test_a_step_has_the_same_batch_whichever_steps_were_asked_before(small: tuple[Any, Batches]) -> None:
    walked, jumped = numbered(50, small[0]), numbered(50, small[0])
    for step in range(40):
        last = walked.at(step)
    assert torch.equal(last.ids, jumped.at(39).ids)


def test_padding_is_never_learnt_and_the_count_is_that_of_all_ranks(small: tuple[Any, Batches]) -> None:
    shares = [numbered(50, small[0], world=2, rank=rank).at(0) for rank in (0, 1)]
    assert all(bool((share.labels[share.ids == 0] == IGNORED).all()) for share in shares)
    assert sum(int((share.labels != IGNORED).sum()) for share in shares) == shares[0].learnt == shares[1].learnt


def test_a_set_smaller_than_a_batch_still_fills_batches(small: tuple[Any, Batches]) -> None:
    assert numbered(3, small[0], size=8).at(2).ids.shape[0] == 8


def test_workers_that_cannot_share_evenly_differ_by_a_row_and_leave_none_out(small: tuple[Any, Batches]) -> None:
    shares = [rows_in(numbered(50, small[0], world=3, rank=rank), 5) for rank in range(3)]
    assert [len(share) for share in shares] == [2, 1, 1]
    assert sorted(row for share in shares for row in share) == sorted(rows_in(numbered(50, small[0]), 5))


def test_a_batch_with_fewer_rows_than_workers_is_refused(small: tuple[Any, Batches]) -> None:
    with pytest.raises(ValueError, match="batch-size 4 is too small for 5 workers: each needs a row"):
        numbered(10, small[0], world=5)
