"""Where the vectors API is."""

PREFIX = "/vectors/v1"
DOCUMENT = PREFIX + "/openapi.json"
COLLECTIONS = PREFIX + "/collections"
