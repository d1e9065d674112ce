"""Retrieval: which documents answer a query, by how near their vectors are."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from pydantic import Field, model_validator

from nlpbench.config.errors import UserError
from nlpbench.config.problems import Invalid, Problem
from nlpbench.tasks import Bundle, Keep, Locate, Predictions, keep_in_memory, objects
from nlpbench.tasks._columns import Texts, check_texts, to_column
from nlpbench.tasks.vectors.embeddings import Embeddings, EmbeddingTask, Text, unit

if TYPE_CHECKING:
    import torch
    from datasets import Dataset
    from numpy.typing import NDArray

QUERY, JUDGED, GRADES = "text", "relevant_ids", "relevance"  # columns of BEIR's queries
DOCUMENT = ("title", "text")


class Retrieval(EmbeddingTask):
    """Which documents answer a query, by how near their vectors are.

    The data is laid out as BEIR's (Thakur et al. 2021), or its rows are pairs of a query and the
    text that answers it. Then the answers of a split, with its negatives if it has a column of
    them, are the documents that each of its queries is to find its own among; a document bears the
    number of the first row that it stands in, from 0.

    The loss is that of in-batch negatives (Henderson et al. 2017, "Efficient Natural Language
    Response Suggestion for Smart Reply"): cross entropy between the right document of a query and
    those of the other rows of the batch, but for documents that are right for the query too. So a
    larger batch is a harder task. All rows of a batch are compared, in one process.

        task: {name: retrieval, query_column: question, positive_column: answer}
    """

    reads_corpus: ClassVar[bool] = True

    positive_column: str | None = Field(
        None, description="column with the text that answers the query; unset for BEIR's layout"
    )
    query_column: str = Field("query", description="column with the query of a pair")
    negative_column: str | None = Field(
        None, description="column with a text that does not answer the query of a pair"
    )
    query_prefix: str = Field("", description="put before every query, such as 'query: '")
    document_prefix: str = Field("", description="put before every document, such as 'passage: '")
    similarity: Literal["cosine", "dot"] = Field("cosine", description="of two vectors")
    scale: float | None = Field(
        None, gt=0, description="what the loss multiplies similarities by; 20 for cosine, 1 for dot"
    )
    symmetric: bool = Field(
        False, description="whether each document is to find its query among those of the batch too"
    )
    top_k: int = Field(100, ge=1, description="documents of a ranking")
    ignore_identical_ids: bool = Field(
        False,
        description="leave out the document with the query's own id, as BEIR does for ArguAna "
        "and Quora",
    )

    @model_validator(mode="after")
    def layout_fits(self) -> Retrieval:
        pairs = self.positive_column is not None
        problems = [
            Problem((key,), "is of pairs", "write positive_column too", at_key=True)
            for key in ("query_column", "negative_column")
            if getattr(self, key) != type(self).model_fields[key].default and not pairs
        ]
        if self.ignore_identical_ids and pairs:
            message = "is of BEIR's layout; pairs have no ids"
            problems.append(Problem(("ignore_identical_ids",), message, at_key=True))
        if problems:
            raise Invalid(*problems)
        return self

    @property
    def answer(self) -> Literal["rankings"]:
        return "rankings"

    @property
    def target(self) -> Literal["values"]:
        return "values"  # the places of a batch are no classes that could be smoothed

    @property
    def rows_interact(self) -> bool:
        return True

    def default_metrics(self) -> list[dict[str, Any]]:
        return [{"name": "ndcg"}, {"name": "mrr"}, {"name": "recall-at-k"}, {"name": "map"}]

    @property
    def columns(self) -> list[str]:
        return self._pair_columns or ["_id", QUERY, JUDGED, GRADES]

    @property
    def altered_columns(self) -> list[str]:
        return list(self._query.columns)

    @property
    def _pair_columns(self) -> list[str]:
        """The columns of texts of a pair; none in BEIR's layout."""
        if self.positive_column is None:
            return []
        more = [self.negative_column] if self.negative_column else []
        return [self.query_column, self.positive_column, *more]

    def references(self, rows: Dataset, labels: Sequence[str], locate: Locate) -> NDArray[Any]:
        for column in self._pair_columns:
            check_texts(rows, column, locate)
        return objects(self._grades(rows))

    def texts(self, rows: Dataset, locate: Locate) -> Sequence[str]:
        for column in self._pair_columns:
            check_texts(rows, column, locate)
        return Texts(rows, self._pair_columns[:2] or [QUERY])

    def tokenizer_texts(self, rows: Dataset, locate: Locate) -> Iterable[str]:
        return Texts(rows, self._pair_columns or [QUERY])

    def encode(
        self,
        rows: Dataset,
        references: NDArray[Any] | None,
        bundle: Bundle,
        keep: Keep = keep_in_memory,
        *,
        training: bool = False,
        corpus: Dataset | None = None,
    ) -> Dataset:
        self._check_model(bundle)
        if corpus is None and self.positive_column is None:
            raise UserError(
                "the data holds no documents; lay it out as BEIR does (corpus.jsonl, queries.jsonl, "
                "qrels/), or name the column of the answers with task.positive_column"
            )
        if not training:
            return self._queries_and_documents(rows, bundle, keep, corpus)
        if corpus is None:
            return self._pairs(rows, bundle, keep)
        return self._judged_pairs(rows, bundle, keep, corpus)

    def flat_labels(self, labels: torch.Tensor) -> tuple[torch.Tensor, ...]:
        import torch

        rows = torch.arange(len(labels), device=labels.device)
        return (torch.cat([rows, rows]) if self.symmetric else rows,)

    def flat_logits(self, outputs: Embeddings, labels: torch.Tensor) -> tuple[torch.Tensor, ...]:
        """(n, n (S - 1)) similarities of the queries with all documents, positives first.

        What is right for a query without being its own is masked with -inf. Where the loss is
        symmetric, the similarities of the positives with the queries are n more rows.

        Args:
            labels: (n, S) numbers of the texts; the same text has the same one.
        """
        import torch
        from torch.nn import functional as F

        vectors = self._comparable(outputs.embeddings)
        count = len(vectors)
        documents = vectors[:, 1:].transpose(0, 1).flatten(0, 1)
        logits = self._scale * (vectors[:, 0] @ documents.T)
        asked, own, found = labels[:, :1], labels[:, 1:2], labels[:, 1:].T.reshape(1, -1)
        right = (found == own) | (found == asked)
        right[:, :count] |= asked == asked.T
        right.fill_diagonal_(False)
        logits = logits.masked_fill(right, -torch.inf)
        if self.symmetric:
            back = F.pad(logits[:, :count].T, (0, logits.shape[1] - count), value=-torch.inf)
            logits = torch.cat([logits, back])
        return (logits,)

    def values(self, outputs: Embeddings, batch: Any) -> NDArray[Any]:
        found: NDArray[Any] = self._comparable(outputs.embeddings)[:, 0].float().cpu().numpy()
        return found

    def decode(
        self,
        values: NDArray[Any] | list[NDArray[Any]],
        features: Dataset,
        rows: Dataset,
        bundle: Bundle,
    ) -> Predictions:
        import numpy as np

        from nlpbench.tasks.vectors.nearest import search

        vectors = np.asarray(values, dtype=np.float32)
        count = len(rows)
        ids = _column(features, "document")[count:]
        place = {document: number for number, document in enumerate(ids)}
        own = _column(rows, "_id") if self.ignore_identical_ids else []
        ranked = search(
            vectors[:count],
            vectors[count:],
            self.top_k,
            scale=self._scale,
            relevant=[
                [place[one] for one, grade in grades.items() if grade > 0 and one in place]
                for grades in self._grades(rows)
            ],
            left_out=[place.get(query) for query in own] or [None] * count,
        )
        rankings = [[ids[number] for number in places] for places in ranked.places]
        details = [{"similarities": scores.tolist()} for scores in ranked.scores]
        return Predictions(objects(rankings), details=details, loss=ranked.loss)

    @property
    def _scale(self) -> float:
        return self.scale or (20.0 if self.similarity == "cosine" else 1.0)

    @property
    def _normalised(self) -> bool:
        return self.similarity == "cosine"

    @property
    def _query(self) -> Text:
        return Text((self.query_column if self.positive_column else QUERY,), self.query_prefix)

    def _comparable(self, vectors: torch.Tensor) -> torch.Tensor:
        """Vectors whose dot product is the similarity."""
        return unit(vectors) if self.similarity == "cosine" else vectors

    def _grades(self, rows: Dataset) -> list[dict[str, int]]:
        """The documents that are judged for each query, with their grades."""
        if self.positive_column is None:
            found = rows.select_columns([JUDGED, GRADES]).with_format(None)[:]
            judged = zip(found[JUDGED], found[GRADES], strict=True)
            return [dict(zip(ids, grades, strict=True)) for ids, grades in judged]
        ids = self._documents_of_pairs(rows)
        queries, positives, *_ = self._texts_of_pairs(rows)
        right: dict[str, dict[str, int]] = {}
        for query, positive in zip(queries, positives, strict=True):
            right.setdefault(query, {})[ids[positive]] = 1
        return [right[query] for query in queries]

    def _texts_of_pairs(self, rows: Dataset) -> list[list[str]]:
        """The texts of each column."""
        found = rows.select_columns(self._pair_columns).with_format(None)[:]
        return [found[column] for column in self._pair_columns]

    def _documents_of_pairs(self, rows: Dataset) -> dict[str, str]:
        """The distinct answers and negatives, with their ids."""
        _, *columns = self._texts_of_pairs(rows)
        ids: dict[str, str] = {}
        for texts, ending in zip(columns, ("", "-negative"), strict=False):
            for row, text in enumerate(texts):
                ids.setdefault(text, f"{row}{ending}")
        return ids

    def _pairs(self, rows: Dataset, bundle: Bundle, keep: Keep) -> Dataset:
        """To train on: a query, its answer, and its negative if there is one."""
        import numpy as np

        texts = [Text((column,), self.document_prefix) for column in self._pair_columns[1:]]
        features = self._features(rows, [self._query, *texts], bundle, keep)
        numbers: dict[str, int] = {}
        columns = [
            [numbers.setdefault(text, len(numbers)) for text in column]
            for column in self._texts_of_pairs(rows)
        ]
        return features.add_column("labels", to_column(np.array(columns).T.copy()))

    def _judged_pairs(self, rows: Dataset, bundle: Bundle, keep: Keep, corpus: Dataset) -> Dataset:
        """To train on: each query with each of its relevant documents."""
        import numpy as np
        import pyarrow as pa
        from datasets import Dataset

        place = {document: number for number, document in enumerate(_column(corpus, "_id"))}
        pairs = [
            (row, place[document])
            for row, grades in enumerate(self._grades(rows))
            for document, grade in grades.items()
            if grade > 0 and document in place
        ]
        if not pairs:
            raise UserError("no training query has a relevant document; there is nothing to learn")
        asked, found = np.array(pairs).T
        queries = rows.select_columns([QUERY]).with_format("arrow")[asked]
        documents = corpus.select_columns(list(DOCUMENT)).with_format("arrow")[found]
        table = documents.append_column("query", queries.column(QUERY))
        texts = [Text(("query",), self.query_prefix), Text(DOCUMENT, self.document_prefix)]
        features = self._features(Dataset(table), texts, bundle, keep)
        labels = np.stack([asked, len(rows) + found], axis=1)
        features = features.add_column("labels", to_column(labels))
        return features.add_column("example", pa.array(asked))

    def _queries_and_documents(
        self, rows: Dataset, bundle: Bundle, keep: Keep, corpus: Dataset | None
    ) -> Dataset:
        """To rank: all queries, whose `document` is empty, and then all documents."""
        from datasets import Dataset, concatenate_datasets

        if corpus is None:
            ids = self._documents_of_pairs(rows)
            names = list(ids.values())
            corpus = Dataset.from_dict({"text": list(ids)})
        else:
            names = _column(corpus, "_id")
        columns = tuple(name for name in DOCUMENT if name in corpus.column_names)
        queries = self._features(rows, [self._query], bundle, keep)
        documents = self._features(corpus, [Text(columns, self.document_prefix)], bundle, keep)
        features = concatenate_datasets([queries, documents])
        features = features.add_column("document", [""] * len(queries) + names)
        return features.add_column("example", [*range(len(queries)), *[-1] * len(documents)])


def _column(rows: Dataset, name: str) -> list[str]:
    found: list[str] = rows.select_columns([name]).with_format(None)[:][name]
    return found
