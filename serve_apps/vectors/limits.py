"""How much one request to the vectors API may ask for. Pure."""

MOST_BODY_BYTES = 64 << 20
MOST_K = 10_000
"""Of a search: `k` and `offset` together."""
MOST_ROWS = 10_000
"""Rows of a batch, ids of one request, rows of a page."""
LONGEST_ID = 1_024
"""Characters."""
MOST_VALUES = 10_000
"""Of one row, in a field of many values."""
MOST_TOKEN = 100_000
"""Characters: of 1,024 shards a token has a quarter at most, and several may be joined."""
MOST_QUERIES = 1_000
"""Vectors of one search."""
MOST_HITS = 1_000_000
"""Of all vectors of a search together."""
USUAL_TIMEOUT_MS = 10_000
MOST_TIMEOUT_MS = 120_000
MOST_TEXT = 100_000
"""Characters of a query's text."""
MOST_IMAGE = 8 << 20
"""Characters of an image, as its address or in base64."""
MOST_NUMBERS = 16_000_000
"""Of the vectors of one answer together."""
