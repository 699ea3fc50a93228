"""The APIs that clients and backends speak, said in one another. Pure: no I/O, no clock, no randomness.

OpenAI's chat completion is the canonical form: every surface is read into it and every backend's answer becomes it, so
that a new API is one pair of translations. Between a client and a backend of the same API bytes pass, and none of this
runs.

Written here and not taken from a library: LiteLLM, which has these translations, is heavy and slow to import, and
vLLM's need vLLM and its engine; the official clients' types and accumulators check every document in the tests instead.
"""
