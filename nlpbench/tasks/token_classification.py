"""Token classification: a tag for every word, such as those of named entities."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from itertools import accumulate
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from pydantic import Field, model_validator

from nlpbench.config.errors import UserError
from nlpbench.config.problems import Invalid, Problem, show
from nlpbench.tasks import (
    Bundle,
    Collate,
    Keep,
    Locate,
    Predictions,
    Task,
    keep_in_memory,
    objects,
)
from nlpbench.tasks.tagging import tag_schemes as schemes

if TYPE_CHECKING:
    import torch
    from datasets import Dataset
    from numpy.typing import NDArray
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

    from nlpbench.tasks.tagging.tag_column import TagColumn

logger = logging.getLogger("nlpbench")
UNSCORED = -100
OUTSIDE = "O"


class TokenClassification(Task):
    """Words to tags: named entities, chunks, or parts of speech.

    The head is that of transformers' `AutoModelForTokenClassification`; the loss is cross entropy
    over the first token of every word. Entities are read in the scheme that their tags are written
    in, and learnt, predicted and scored in IOB2 (Ramshaw and Marcus 1995, "Text Chunking using
    Transformation-Based Learning"; Tjong Kim Sang and Veenstra 1999).

    | scheme | tags | the entity `New York`, another one right behind it |
    |--------|------|------|
    | iob2   | O, B-, I- | B-LOC I-LOC B-LOC |
    | iob1   | O, B-, I- | I-LOC I-LOC B-LOC |
    | ioe    | O, I-, E- | I-LOC E-LOC E-LOC |
    | bilou  | O, B-, I-, L-, U- | B-LOC L-LOC U-LOC |
    | bioes  | O, B-, I-, E-, S- | B-LOC E-LOC S-LOC |
    | bmes   | O, B-, M-, E-, S- or W- | B-LOC E-LOC S-LOC |
    | io     | O, types | LOC LOC LOC: words side by side are one entity |
    | none   | any | no entities: every word has a tag of its own, such as NOUN |

    `auto` is whichever of the first six the tags show; where they break its rules, a warning says
    so, and an I that continues nothing begins an entity. A scheme that is named is held to: a fault
    is an error.

    No sentence is cut: one of more than `max_length` tokens is read in windows, and each word
    answered by the window that shows most of what stands around it. A word of which the tokenizer
    makes nothing is tagged O. predictions.jsonl has the `entities` of each row, with the places of
    their characters in the words joined by one space.

        task: {name: token-classification, tokens_column: tokens, tags_column: ner_tags}
    """

    reads_words: ClassVar[bool] = True

    tokens_column: str = Field("tokens", description="column with the list of words")
    tags_column: str = Field("tags", description="column with the list of tags, one a word")
    scheme: Literal["auto", "iob2", "iob1", "ioe", "bilou", "bioes", "bmes", "io", "none"] = Field(
        "auto", description="how the tags of the data write entities; found out unless told"
    )
    labels: list[str] | None = Field(
        None,
        min_length=2,
        description="the names of tags that the data gives as 0, 1, 2 …, in its own scheme",
    )
    label_all_tokens: bool = Field(
        False, description="learn from every token of a word, not from the first alone"
    )
    max_length: int = Field(128, ge=3, description="tokens of a window; no word is left out")
    stride: int | None = Field(
        None,
        ge=0,
        description="tokens that windows of a long sentence share, at least; a quarter of "
        "max_length unless told",
    )

    @model_validator(mode="after")
    def options_fit(self) -> TokenClassification:
        problems = []
        if self.labels is not None and len(set(self.labels)) < len(self.labels):
            problems.append(Problem(("labels",), "names a tag twice"))
        if self.stride is not None and self.stride >= self.max_length:
            message = f"must be less than max_length, {self.max_length} (got {self.stride})"
            problems.append(Problem(("stride",), message))
        if problems:
            raise Invalid(*problems)
        return self

    @property
    def answer(self) -> Literal["tags"]:
        return "tags"

    def default_metrics(self) -> list[dict[str, Any]]:
        accuracy = {"name": "token-accuracy"}
        return [accuracy] if self.scheme == "none" else [{"name": "entity-f1"}, accuracy]

    @property
    def columns(self) -> list[str]:
        return [self.tokens_column, self.tags_column]

    @property
    def altered_columns(self) -> list[str]:
        return [self.tokens_column]

    @property
    def auto_classes(self) -> tuple[str, ...]:
        return ("AutoModelForTokenClassification",)

    def find_labels(self, rows: Dataset, locate: Locate) -> list[str]:
        column = self._tags(rows, locate)
        found = sorted({tag for tags in column.sentences for tag in tags})
        if column.scheme is None:
            return column.check_classes(
                [*column.names, *(tag for tag in found if tag not in column.names)]
            )
        if self.scheme == "auto":
            converted = "" if column.scheme == "iob2" else ", converted to IOB2"
            logger.info("tags: %s in the training rows%s", column.scheme.upper(), converted)
        named = schemes.types_of(column.names, column.scheme)
        types = sorted(schemes.types_of(found, column.scheme))
        return column.check_classes(schemes.tags_of(dict.fromkeys([*named, *types])))

    def references(self, rows: Dataset, labels: Sequence[str], locate: Locate) -> NDArray[Any]:
        column = self._tags(rows, locate)
        if column.scheme is None:
            column.check_known(column.sentences, labels)
            return objects(column.sentences)
        column.report_faults(held_to=self.scheme != "auto")
        sentences = [schemes.to_iob2(tags, column.scheme) for tags in column.sentences]
        column.check_known(sentences, schemes.tags_of(schemes.types_of(labels, "iob2")))
        return objects(sentences)

    def class_ids(self, references: NDArray[Any], labels: Sequence[str]) -> NDArray[Any]:
        import numpy as np

        numbers = {label: number for number, label in enumerate(labels)}
        return np.array([numbers[tag] for tags in references for tag in tags], dtype=np.int64)

    def texts(self, rows: Dataset, locate: Locate) -> Sequence[str]:
        from nlpbench.tasks.tagging.word_columns import Sentences, check_words

        check_words(rows, self.tokens_column, locate)
        return Sentences(rows, self.tokens_column)

    def head(self, labels: Sequence[str]) -> dict[str, Any]:
        return {
            "id2label": dict(enumerate(labels)),
            "label2id": {label: number for number, label in enumerate(labels)},
        }

    def labels_of(self, model: PreTrainedModel) -> list[str]:
        names: dict[Any, Any] = model.config.id2label or {}
        labels = [str(names[number]) for number in range(len(names))]
        if self.scheme == "none":
            return labels
        wrong = next((label for label in labels if not schemes.is_iob2(label)), None)
        if wrong is not None:
            raise UserError(
                f"the labels of the model are no tags of IOB2 (such as {show(wrong)}), which "
                f"entities are scored in: {OUTSIDE}, B-TYPE and I-TYPE; rename them in id2label "
                "of its config.json if they mean these, or write task.scheme: none to score words"
            )
        return labels

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
        from nlpbench.tasks.tagging import word_windows as windows

        tokenizer = bundle.tokenizer
        self._check_room(tokenizer)
        options = {
            "tokens_column": self.tokens_column,
            "max_length": self.max_length,
            "stride": self._overlap,
        }
        features = keep(
            rows.select_columns([self.tokens_column]),
            options,
            partial(windows.encode, tokenizer, self.tokens_column, self.max_length, self._overlap),
        )
        if references is None:
            return features
        targets = self._targets(features, references, bundle.labels)
        return features.add_column("labels", windows.to_column(targets))

    def collate(self, bundle: Bundle, *, training: bool = False) -> Collate:
        from transformers import DataCollatorForTokenClassification

        collator = DataCollatorForTokenClassification(bundle.tokenizer, label_pad_token_id=UNSCORED)
        names = {*bundle.tokenizer.model_input_names, "labels"}

        def pad(features: list[dict[str, Any]]) -> Mapping[str, torch.Tensor]:
            batch: Mapping[str, torch.Tensor] = collator(
                [{key: row[key] for key in names & row.keys()} for row in features]
            )
            return batch

        return pad

    def flat_labels(self, labels: torch.Tensor) -> tuple[torch.Tensor, ...]:
        return (labels[labels != UNSCORED],)

    def flat_logits(self, outputs: Any, labels: torch.Tensor) -> tuple[torch.Tensor, ...]:
        return (outputs.logits[labels != UNSCORED],)

    def values(self, outputs: Any, batch: Mapping[str, torch.Tensor]) -> list[NDArray[Any]]:
        """(L, 2) for each window of L tokens: the likeliest label and its probability."""
        import torch

        shares, labels = outputs.logits.float().softmax(-1).max(-1)
        found = torch.stack([labels.to(shares.dtype), shares], dim=-1).cpu().numpy()
        masks = batch["attention_mask"].bool().cpu().numpy()
        return [row[mask] for row, mask in zip(found, masks, strict=True)]

    def decode(
        self,
        values: NDArray[Any] | list[NDArray[Any]],
        features: Dataset,
        rows: Dataset,
        bundle: Bundle,
    ) -> Predictions:
        from nlpbench.tasks.tagging.word_columns import word_lists
        from nlpbench.tasks.tagging.word_windows import answered, first_tokens

        sentences = list(word_lists(rows, self.tokens_column))
        answers = [[OUTSIDE] * len(words) for words in sentences]
        for (example, words), found in zip(answered(features), values, strict=True):
            for place in first_tokens(words):
                answers[example][words[place]] = bundle.labels[int(found[place, 0])]
        if self.scheme == "none":
            return Predictions(objects(answers))
        pairs = zip(sentences, answers, strict=True)
        details = [{"entities": list(_entities(words, tags))} for words, tags in pairs]
        return Predictions(objects(answers), details=details)

    def _tags(self, rows: Dataset, locate: Locate) -> TagColumn:
        from nlpbench.tasks.tagging.tag_column import read

        columns = self.tokens_column, self.tags_column
        return read(rows, *columns, locate, scheme=self.scheme, names=self.labels)

    @property
    def _overlap(self) -> int:
        return self.max_length // 4 if self.stride is None else self.stride

    def _check_room(self, tokenizer: PreTrainedTokenizerBase) -> None:
        if not tokenizer.is_fast:
            raise UserError(
                f"{type(tokenizer).__name__} does not tell the words of its tokens; take a model "
                "with a tokenizer of the library tokenizers (a tokenizer.json)"
            )
        special = tokenizer.num_special_tokens_to_add(pair=False)
        if special + self._overlap >= self.max_length:
            raise UserError(
                f"task.max_length is {self.max_length}, of which {special} tokens are special ones "
                f"and windows share {self._overlap} (task.stride); make it longer, or share fewer"
            )

    def _targets(
        self, features: Dataset, references: NDArray[Any], labels: Sequence[str]
    ) -> Iterator[NDArray[Any]]:
        """(L,) label ids of every window of L tokens, -100 where nothing is learnt."""
        import numpy as np

        from nlpbench.tasks.tagging.word_windows import NO_WORD, answered, first_tokens

        number = {label: place for place, label in enumerate(labels)}
        inside = [label if self.scheme == "none" else schemes.inside(label) for label in labels]
        behind = np.array([number[label] for label in inside])
        for example, words in answered(features):
            ids = np.array([number[tag] for tag in references[example]], dtype=np.int64)
            targets = np.full(len(words), UNSCORED)
            if self.label_all_tokens:
                learnt = words != NO_WORD
                targets[learnt] = behind[ids[words[learnt]]]
            first = first_tokens(words)
            targets[first] = ids[words[first]]
            yield targets


def _entities(words: Sequence[str], tags: Sequence[str]) -> Iterator[dict[str, Any]]:
    """Type, text, and the place of its characters in the words joined by one space."""
    text = " ".join(words)
    starts = list(accumulate((len(word) + 1 for word in words), initial=0))
    for found in schemes.entities(tags):
        start, end = starts[found.start], starts[found.end] - 1
        yield {"type": found.type, "start": start, "end": end, "text": text[start:end]}
