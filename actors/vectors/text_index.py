"""BM25 over the text fields of one segment, by tantivy. In memory, made of the rows: 7 s for a million short texts.

Document frequencies are those of the segment, as everywhere where documents are sharded: the same words score a little
differently in another one. What is fused by ranks (`hybrid`) hardly sees it.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np
import pyarrow as pa
import tantivy

from actors.vectors.found import Found, Mask
from control.specs.collection import CollectionSpec

ROW = "row "
"""No field of a collection can be called so."""
_ANALYZER = "words"
_LONGEST_WORD = 128
"""Bytes; longer ones are no words and not kept."""
_HEAP_BYTES = 64 << 20
"""What is held while rows are added."""
_LEAST = 64
"""So many are asked for at least, so that a few that are not allowed cost no second look."""


class TextIndex:
    """The texts of rows, to be added in order. Searches may come from several threads while one adds."""

    def __init__(self, fields: Sequence[str]) -> None:
        builder = tantivy.SchemaBuilder()
        builder.add_unsigned_field(ROW, stored=False, indexed=False, fast=True)
        for field in fields:
            builder.add_text_field(field, stored=False, tokenizer_name=_ANALYZER, index_option="freq")
        self._schema = builder.build()
        self._fields = tuple(fields)
        self._index = tantivy.Index(self._schema)
        self._analyzer = _analyzer()
        self._index.register_tokenizer(_ANALYZER, self._analyzer)
        self._rows = 0

    def __len__(self) -> int:
        return self._rows

    def add(self, batch: pa.RecordBatch | pa.Table) -> None:
        """The next rows, with all the text fields among their columns."""
        if not self._fields or not len(batch):
            self._rows += len(batch)
            return
        writer = self._index.writer(heap_size=_HEAP_BYTES, num_threads=1)
        texts = [batch.column(field).to_pylist() for field in self._fields]
        for row in zip(*texts, strict=True):
            document = tantivy.Document()
            document.add_unsigned(ROW, self._rows)
            for field, text in zip(self._fields, row, strict=True):
                if text:
                    document.add_text(field, text)
            writer.add_document(document)
            self._rows += 1
        writer.commit()
        writer.wait_merging_threads()
        self._index.reload()

    def search(self, text: str, fields: Iterable[str], k: int, allowed: Mask | None) -> Found:
        """The k rows that fit the words of `text` best, as one query, of those that are allowed (all: None).

        Words are compared in lower case. A row with none of them in any of `fields` is not found.
        """
        words = dict.fromkeys(self._analyzer.analyze(text))
        terms = [
            (tantivy.Occur.Should, tantivy.Query.term_query(self._schema, field, word, "freq"))
            for field in fields
            for word in words
        ]
        query = tantivy.Query.boolean_query(terms)
        searcher = self._index.searcher()
        rows, scores, limit = np.empty(0, np.int64), np.empty(0, np.float32), max(2 * k, _LEAST)
        while terms and searcher.num_docs:
            found = searcher.search(query, limit=min(limit, searcher.num_docs), count=False)
            values = searcher.fast_field_values(ROW, [address for _, address in found.hits])
            rows, scores = np.asarray(values, np.int64), np.asarray([score for score, _ in found.hits], np.float32)
            if allowed is not None:
                known = rows < len(allowed)  # of a segment that grows the index may be ahead of the mask
                kept = allowed[np.where(known, rows, 0)] & known
                rows, scores = rows[kept], scores[kept]
            if len(rows) >= k or len(found.hits) < limit:
                break
            limit *= 8
        padding = max(0, k - len(rows))
        return Found(
            np.pad(rows[:k], (0, padding), constant_values=-1)[None],
            np.pad(scores[:k], (0, padding), constant_values=-np.inf)[None],
        )


def text_fields(spec: CollectionSpec) -> tuple[str, ...]:
    """Those that words are looked for in."""
    return tuple(field.name for field in spec.fields if field.type == "text")


def _analyzer() -> tantivy.TextAnalyzer:
    words = tantivy.TextAnalyzerBuilder(tantivy.Tokenizer.simple())
    return words.filter(tantivy.Filter.remove_long(_LONGEST_WORD)).filter(tantivy.Filter.lowercase()).build()
