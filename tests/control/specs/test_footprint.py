"""What a model needs of a device, from its own config."""

from __future__ import annotations

from typing import Any

from control.specs.footprint import MARGIN, ModelFacts, longest_in, need_of, room_of

GIB = 1 << 30
LLAMA_70B: dict[str, Any] = {
    "num_hidden_layers": 80,
    "num_attention_heads": 64,
    "num_key_value_heads": 8,
    "hidden_size": 8192,
    "torch_dtype": "bfloat16",
    "max_position_embeddings": 131072,
}


def test_the_cache_of_a_token_is_two_vectors_a_layer_for_each_key_value_head() -> None:
    facts = ModelFacts.of(LLAMA_70B, 141 * GIB)
    assert (facts.cache_per_token, facts.context) == (2 * 80 * 8 * 128 * 2, 131072)


def test_the_article_s_model_needs_four_devices_of_80_gib() -> None:
    facts = ModelFacts.of(LLAMA_70B, 132 * GIB)
    engine = {"max_model_len": 8192, "max_num_seqs": 256, "gpu_memory_utilization": 0.9}
    room = room_of(80 * GIB, engine)
    assert need_of(facts, engine, 1).least > room
    four = need_of(facts, engine, 4)
    assert four.least == 33 * GIB + MARGIN + 8192 * facts.cache_per_token // 4
    assert four.least < room < four.full, "256 sequences of full length at once would not fit: some wait"


def test_configs_of_other_families_are_read() -> None:
    gpt2 = ModelFacts.of({"n_layer": 12, "n_head": 12, "n_embd": 768, "n_positions": 1024, "dtype": "float32"}, 1)
    assert (gpt2.cache_per_token, gpt2.context, gpt2.width) == (12 * 2 * 768 * 4, 1024, 4)
    nested = ModelFacts.of({"text_config": LLAMA_70B, "vision_config": {}}, 1)
    assert nested.cache_per_token == ModelFacts.of(LLAMA_70B, 1).cache_per_token
    latent = ModelFacts.of({"num_hidden_layers": 60, "kv_lora_rank": 512, "qk_rope_head_dim": 64}, 1)
    assert latent.cache_per_token == 60 * 576 * 2


def test_an_eight_bit_cache_takes_half_of_a_sixteen_bit_one() -> None:
    facts = ModelFacts.of(LLAMA_70B, 0)
    whole, half = (
        need_of(facts, {"max_model_len": 8192, "kv_cache_dtype": dtype}, 1).least for dtype in ("auto", "fp8")
    )
    assert whole - MARGIN == 2 * (half - MARGIN)


def test_a_config_that_says_nothing_counts_its_weights_only() -> None:
    assert need_of(ModelFacts.of({}, 5 * GIB), {}, 1).full == 5 * GIB + MARGIN


def test_the_longest_sequence_is_one_with_which_it_starts_and_with_more_it_does_not() -> None:
    facts = ModelFacts.of(LLAMA_70B, 66 * GIB)
    room = room_of(80 * GIB, {})
    longest = longest_in(room, facts, {}, 1)
    assert need_of(facts, {"max_model_len": longest}, 1).least <= room
    assert need_of(facts, {"max_model_len": longest + 1}, 1).least > room
    assert longest_in(room, ModelFacts.of(LLAMA_70B, 132 * GIB), {}, 1) == 0


def test_layers_with_a_window_or_a_state_and_encoders_keep_no_growing_cache() -> None:
    mixed = {**LLAMA_70B, "num_hidden_layers": 4, "layer_types": ["sliding_attention"] * 3 + ["full_attention"]}
    assert ModelFacts.of(mixed, 1).cache_per_token == 2 * 8 * 128 * 2
    assert ModelFacts.of({**LLAMA_70B, "sliding_window": 4096}, 1).cache_per_token == 0
    assert ModelFacts.of({**LLAMA_70B, "sliding_window": 4096, "use_sliding_window": False}, 1).cache_per_token > 0
    assert ModelFacts.of({**LLAMA_70B, "architectures": ["BertModel"]}, 1).cache_per_token == 0


def test_numbers_of_32_bits_are_served_in_16_unless_it_is_asked_for() -> None:
    facts = ModelFacts.of({**LLAMA_70B, "dtype": "float32"}, 8 * GIB)
    plain, wide = (need_of(facts, {"max_model_len": 1024, **engine}, 1) for engine in ({}, {"dtype": "float32"}))
    assert wide.least - MARGIN == 2 * (plain.least - MARGIN)


def test_facts_come_back_from_the_tags_of_a_version() -> None:
    facts = ModelFacts.of(LLAMA_70B, 132 * GIB)
    assert ModelFacts.read({"accuracy": "1", **facts.tags}) == facts
    assert ModelFacts.read({"accuracy": "1"}) is None
    assert ModelFacts.read({**facts.tags, "biplane.weights-bytes": "a lot"}) is None


def test_a_length_that_the_engine_chooses_counts_as_one_token() -> None:
    facts = ModelFacts.of(LLAMA_70B, GIB)
    assert need_of(facts, {"max_model_len": -1}, 1).least == GIB + MARGIN + facts.cache_per_token
