"""Where the vectors API is, for who asks it and for who serves it. Pure."""

PREFIX = "/vectors/v1"
DOCUMENT = PREFIX + "/openapi.json"
COLLECTIONS = PREFIX + "/collections"
BEAT_NAME = "vectors/"
"""How the names begin under which the API's replicas report where they are; no engine's does."""
