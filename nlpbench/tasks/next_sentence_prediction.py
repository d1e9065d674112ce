"""Next sentence prediction with masked tokens: the two objectives of BERT's pretraining."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import islice
from typing import TYPE_CHECKING, Any, Literal

from pydantic import Field

from nlpbench.config.errors import UserError
from nlpbench.tasks import (
    Bundle,
    Collate,
    Inferred,
    Keep,
    Locate,
    Predictions,
    keep_in_memory,
)
from nlpbench.tasks._columns import Texts, check_texts
from nlpbench.tasks._padding import pad
from nlpbench.tasks.language import sentence_pairs as pairs
from nlpbench.tasks.language.chosen_logits import CHOSEN, chosen_logits
from nlpbench.tasks.language.framing import Frame, Tokens, tokenize
from nlpbench.tasks.language.likelihood import UNSCORED
from nlpbench.tasks.language.masking import Masking, fixed_random
from nlpbench.tasks.language.masking_task import MaskingTask

if TYPE_CHECKING:
    import torch
    from datasets import Dataset
    from numpy.typing import NDArray
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

LAYOUT = 1  # of the features: another one, and those in the cache are made anew
LABELS = ["next", "random"]
PER_TOKEN = ("input_ids", "token_type_ids", "attention_mask")


class NextSentencePrediction(MaskingTask):
    """Does a text go on where another ends? Learnt together with hidden tokens, as BERT was.

    A row is a document: its sentences are found by punctuation, or are its lines
    (`sentences: lines`, with `data.text_unit: paragraph` for files of one sentence a line and a blank
    line between documents). Passages of sentences that fit `max_length` are split in two, and one
    time in two the second part is replaced by sentences of another document. `mlm_probability` of the
    tokens are hidden, as masked-language-modeling does. The loss is the mean over hidden tokens
    plus the mean over pairs (Devlin et al. 2019, "BERT"). Where a passage is split, what follows
    and what is hidden is drawn anew at every visit.

    The model needs both heads, those of `BertForPreTraining`. Its run directory can be the
    `name_or_path` of any other task's model.

        task: {name: next-sentence-prediction, text_column: text, max_length: 128}

    A document is scored by one pair, drawn from `pair_seed` and its text, with nothing hidden; the
    answer is `next` or `random`. One sentence alone is always followed by a random one. The
    validation loss is that of these pairs, with tokens hidden once and for all.
    """

    sentences: Literal["punctuation", "lines"] = Field(
        "punctuation", description="what ends a sentence, besides the end of a line"
    )
    max_length: int = Field(128, ge=8, description="tokens of a pair")
    pair_seed: int = Field(
        0, ge=0, description="of the pairs and masks of validation and test, which stay the same"
    )

    @property
    def answer(self) -> Literal["labels"]:
        return "labels"

    @property
    def names_classes(self) -> bool:
        return False  # the targets are tokens too

    def default_metrics(self) -> list[dict[str, Any]]:
        return [{"name": "accuracy"}]

    @property
    def auto_classes(self) -> tuple[str, ...]:
        return ("AutoModelForPreTraining",)

    def find_labels(self, rows: Dataset, locate: Locate) -> list[str]:
        return list(LABELS)

    def labels_of(self, model: PreTrainedModel) -> list[str]:
        return list(LABELS)

    def references(self, rows: Dataset, labels: Sequence[str], locate: Locate) -> NDArray[Any]:
        """(n,) the label that the pair of each document has, whatever the tokenizer."""
        import numpy as np

        check_texts(rows, self.text_column, locate)
        found = np.empty(len(rows), dtype=np.int64)
        for row, text in enumerate(Texts(rows, [self.text_column])):
            sentences = pairs.split_sentences(text, self.sentences)
            if not sentences:
                raise UserError(
                    f"{locate(row)}: the column {self.text_column} has no sentence; leave this row out"
                )
            found[row] = pairs.draw_label(self._random(text), len(sentences))
        return found

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
        _check_heads(bundle.model)
        frame = Frame.of(bundle.tokenizer, parts=2)
        names = {"text_column", "sentences", "max_length", "whole_word_mask", "pair_seed"}
        if not training:
            names |= {"mlm_probability", "mask_replace_prob", "random_replace_prob"}
        masking = self._masking(bundle.tokenizer, frame)
        make = self._passages if training else partial(self._pairs, masking)
        features = keep(
            rows.select_columns([self.text_column]),
            {
                **{name: getattr(self, name) for name in sorted(names)},
                "training": training,
                "layout": LAYOUT,
            },
            partial(self._features, bundle.tokenizer, frame, make),
        )
        if training or references is not None:
            return features
        return features.remove_columns(["masked_ids", "hidden"])

    def collate(self, bundle: Bundle, *, training: bool = False) -> Collate:
        tokenizer = bundle.tokenizer
        if not training:
            return partial(_padded, tokenizer)
        frame = Frame.of(tokenizer, parts=2)
        return partial(self._drawn_anew, tokenizer, frame, self._masking(tokenizer, frame))

    def flat_labels(self, labels: torch.Tensor) -> tuple[torch.Tensor, ...]:
        """(n,) of the pairs and (m,) of the hidden tokens, from (n, 1 + L) with the pair's first."""
        tokens = labels[:, 1:]
        return labels[:, 0], tokens[tokens != UNSCORED]

    def flat_logits(self, outputs: Any, labels: torch.Tensor) -> tuple[torch.Tensor, ...]:
        hidden = labels[:, 1:] != UNSCORED
        return outputs.seq_relationship_logits, chosen_logits(outputs.prediction_logits, hidden)

    def infer(
        self, bundle: Bundle, batch: Mapping[str, torch.Tensor], answers: bool = True
    ) -> Inferred:
        """The logits (n, 2) of the pairs as they are; the loss of both objectives where masks are."""
        import torch

        inputs = {name: batch[name] for name in PER_TOKEN if name in batch}
        losses = targets = values = None
        if "masked_ids" in batch:
            hidden = batch["hidden"].bool()
            tokens = batch["input_ids"].masked_fill(~hidden, UNSCORED)
            labels = torch.cat([batch["pair_label"][:, None], tokens], dim=1)
            masked = {**inputs, "input_ids": batch["masked_ids"], CHOSEN: hidden}
            losses, targets = self.summed(self.forward(bundle.model, masked), labels)
        if answers:
            none = torch.zeros_like(batch["input_ids"], dtype=torch.bool)
            outputs = self.forward(bundle.model, {**inputs, CHOSEN: none})
            values = outputs.seq_relationship_logits.float().cpu().numpy()
        return Inferred(values, losses, targets)

    def decode(
        self,
        values: NDArray[Any] | list[NDArray[Any]],
        features: Dataset,
        rows: Dataset,
        bundle: Bundle,
    ) -> Predictions:
        import numpy as np
        from scipy.special import softmax

        shares = softmax(np.asarray(values, dtype=np.float64), axis=-1)
        details = [
            {"probabilities": dict(zip(LABELS, row, strict=True))} for row in shares.tolist()
        ]
        signature = f"max_length:{self.max_length}|pair_seed:{self.pair_seed}"
        return Predictions(shares.argmax(axis=-1), shares, details, signature=signature)

    def rows_of(
        self, predictions: Predictions, references: NDArray[Any], labels: Sequence[str]
    ) -> list[dict[str, Any]]:
        rows = super().rows_of(predictions, references, labels)
        named = ("reference", "prediction")
        return [{**row, **{name: labels[row[name]] for name in named}} for row in rows]

    def _random(self, text: str) -> Any:
        return fixed_random(self.pair_seed, text.encode("utf-8", "surrogatepass"))

    def _features(
        self,
        tokenizer: PreTrainedTokenizerBase,
        frame: Frame,
        make: Callable[[Frame, _Document, _Company], Iterable[dict[str, Any]]],
        batches: Iterable[Mapping[str, Any]],
    ) -> Iterator[dict[str, list[Any]]]:
        """Columns of features, whose random sentences are of documents that were read with them.

        Raises:
            UserError: there are no two documents.
        """
        before: list[_Document] = []
        row = 0
        for batch in batches:
            documents = self._documents(tokenizer, batch[self.text_column], row, frame)
            told = [document for document in documents if document.passages]
            company = _Company(told if len(told) > 1 else [*before, *told])
            if len(company.documents) < 2:
                raise UserError(
                    f"pairs need two documents with text in the column {self.text_column} at least"
                )
            made = [found for document in documents for found in make(frame, document, company)]
            if made:
                yield {name: [feature[name] for feature in made] for name in made[0]}
            before, row = told, row + len(documents)

    def _documents(
        self, tokenizer: PreTrainedTokenizerBase, texts: Sequence[str], first: int, frame: Frame
    ) -> list[_Document]:
        found = [pairs.split_sentences(text, self.sentences) for text in texts]
        tokens = tokenize(tokenizer, [sentence for sentences in found for sentence in sentences])
        size = self.max_length - frame.special
        return [
            _Document(
                first + number,
                text,
                len(sentences),
                pairs.passages(list(islice(tokens, len(sentences))), size),
            )
            for number, (text, sentences) in enumerate(zip(texts, found, strict=True))
        ]

    def _passages(
        self, frame: Frame, document: _Document, company: _Company
    ) -> Iterator[dict[str, Any]]:
        """What pairs are drawn from at every visit: the passages, each with one of another document."""
        random = self._random(document.text)
        for passage in document.passages:
            other = company.passage_of_another(document.row, random)
            words = {"words": passage.tokens.words, "other_words": other.tokens.words}
            yield {
                "input_ids": passage.tokens.ids,
                "ends": passage.ends,
                "other_ids": other.tokens.ids,
                "other_ends": other.ends,
                **(words if self.whole_word_mask else {}),
                "length": min(self.max_length, frame.special + passage.length),
                "whole_length": frame.special + passage.length,
                "example": document.row,
            }

    def _pairs(
        self, masking: Masking, frame: Frame, document: _Document, company: _Company
    ) -> Iterator[dict[str, Any]]:
        """The one pair that a document is scored by."""
        random = self._random(document.text)
        label = pairs.draw_label(random, document.sentences)
        passage = pairs.Passage.of([])
        if document.passages:
            passage = document.passages[int(random.integers(len(document.passages)))]
        other = company.passage_of_another(document.row, random)
        size = self.max_length - frame.special
        pair = pairs.draw_pair(passage, other, label, size, random)
        feature = _framed(frame, pair)
        ids, hidden, masked = _hidden(frame, masking, pair, self.whole_word_mask, random)
        whole = frame.special + passage.length
        yield {
            **feature,
            "masked_ids": masked.tolist(),
            "hidden": hidden.astype(int).tolist(),
            "pair_label": pair.label,
            "length": len(ids),
            "whole_length": whole if passage.length > size else len(ids),
        }

    def _drawn_anew(
        self,
        tokenizer: PreTrainedTokenizerBase,
        frame: Frame,
        masking: Masking,
        features: Sequence[Mapping[str, Any]],
    ) -> dict[str, torch.Tensor]:
        """A batch of pairs and masks that follow from the seed, the epoch and the feature."""
        import numpy as np

        size = self.max_length - frame.special
        drawn, labels = [], []
        for row in features:
            random = np.random.default_rng(row["visit"])
            passage, other = (
                _passage(row, "input_ids", "words", "ends"),
                _passage(row, "other_ids", "other_words", "other_ends"),
            )
            label = pairs.draw_label(random, len(passage.ends))
            pair = pairs.draw_pair(passage, other, label, size, random)
            ids, hidden, masked = _hidden(frame, masking, pair, self.whole_word_mask, random)
            drawn.append({**_framed(frame, pair), "input_ids": masked})
            labels.append([label, *np.where(hidden, ids, UNSCORED)])
        targets = pad(labels, UNSCORED)
        return {**_padded(tokenizer, drawn), "labels": targets, CHOSEN: targets[:, 1:] != UNSCORED}


@dataclass(frozen=True)
class _Document:
    row: int
    text: str
    sentences: int
    passages: list[pairs.Passage]


@dataclass(frozen=True)
class _Company:
    """Two documents or more, which are company for one another."""

    documents: list[_Document]

    def passage_of_another(self, row: int, random: Any) -> pairs.Passage:
        """One of a document that is not of this row."""
        found = self.documents[int(random.integers(len(self.documents)))]
        while found.row == row:
            found = self.documents[int(random.integers(len(self.documents)))]
        return found.passages[int(random.integers(len(found.passages)))]


def _check_heads(model: Any) -> None:
    """Raises UserError unless a model predicts both tokens and what follows."""
    from transformers import AutoModelForNextSentencePrediction

    if model is None or type(model.config) in AutoModelForNextSentencePrediction._model_mapping:
        return
    raise UserError(
        f"{type(model).__name__} has no head that tells whether a sentence is the next one; take "
        "a BERT, or task.name: masked-language-modeling"
    )


def _passage(row: Mapping[str, Any], ids: str, words: str, ends: str) -> pairs.Passage:
    numbers = row[words] if words in row else [0] * len(row[ids])
    return pairs.Passage(Tokens(row[ids], numbers), row[ends])


def _framed(frame: Frame, pair: pairs.Pair) -> dict[str, list[int]]:
    """What the model takes of a pair."""
    parts = pair.first.ids, pair.second.ids
    ids, types = frame.around(*parts), frame.types(*parts)
    return {
        "input_ids": ids,
        **({} if types is None else {"token_type_ids": types}),
        "attention_mask": [1] * len(ids),
    }


def _hidden(
    frame: Frame, masking: Masking, pair: pairs.Pair, whole_words: bool, random: Any
) -> tuple[NDArray[Any], NDArray[Any], NDArray[Any]]:
    """(L,) the tokens of a framed pair, which of them are hidden, and what the model reads."""
    import numpy as np

    ids = np.array(frame.around(pair.first.ids, pair.second.ids), dtype=np.int64)
    words = np.array(frame.filled(*pair.words, value=-1)) if whole_words else None
    chosen = masking.choose(ids, words, random)
    return ids, chosen, masking.hide(ids, chosen, random)


def _padded(
    tokenizer: PreTrainedTokenizerBase, features: Sequence[Mapping[str, Any]]
) -> dict[str, torch.Tensor]:
    """(n, L) of each column that has a number a token, and (n,) of `pair_label`."""
    import torch

    blank = tokenizer.pad_token_id or 0
    values = {
        "input_ids": blank,
        "token_type_ids": tokenizer.pad_token_type_id,
        "attention_mask": 0,
        "masked_ids": blank,
        "hidden": 0,
    }
    batch = {
        name: pad([row[name] for row in features], value)
        for name, value in values.items()
        if name in features[0]
    }
    if "pair_label" in features[0]:
        batch["pair_label"] = torch.tensor([row["pair_label"] for row in features])
    return batch
