"""The APIs that clients and backends speak, said in one another. Pure: no I/O, no clock, no randomness.

OpenAI's chat completion is the canonical form: every surface is read into it and every backend's answer becomes it, so
that a new API is one pair of translations. Between a client and a backend of the same API bytes pass, and none of this
runs.

Written here and not taken from a library: LiteLLM has these translations, but takes seconds to import and pulls in a
hundred packages, and vLLM's need vLLM; the official clients' types check every document in the tests instead.
"""
