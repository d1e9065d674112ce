"""What translation, summarisation and text generation have in common: a text from a text."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import chain
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from pydantic import Field, model_validator

from nlpbench.config.problems import Invalid, Path, Problem
from nlpbench.tasks import (
    Bundle,
    Collate,
    Columns,
    Inferred,
    Keep,
    Locate,
    Predictions,
    Task,
    keep_in_memory,
    objects,
)
from nlpbench.tasks.writing.decoder_only import DecoderOnly
from nlpbench.tasks.writing.generation_settings import Generation
from nlpbench.tasks.writing.prompts import Template, fit
from nlpbench.tasks.writing.seq2seq import Seq2Seq
from nlpbench.tasks.writing.source_and_target import (
    Sources,
    batch_references,
    check_texts,
    join,
    read_references,
)
from nlpbench.tasks.writing.writing import is_encoder_decoder, read, write

if TYPE_CHECKING:
    import torch
    from datasets import Dataset
    from numpy.typing import NDArray

LAYOUT = 2  # of the features; another number makes them anew


class GenerationTask(Task):
    """A text to read and a text to write, for encoder-decoders and for decoders alone.

    An encoder-decoder reads the source and learns the target; a decoder reads a prompt with the
    source in it and learns to go on with the target, which alone is scored. The references are
    the raw texts of the data; what is scored against them is what the model writes by itself.
    The loss of a validation split is that of its references, read token by token. With
    `predict: log-likelihoods` nothing is written, and the first references are scored so: the
    perplexity of what is to be written.
    """

    slow_to_score: ClassVar[bool] = True
    placeholder: ClassVar[str] = "source"
    keeps_end: ClassVar[bool] = False  # of a prompt that is too long for a decoder

    source_prefix: str = Field(
        "", description="text before every source, such as T5's 'summarize: '"
    )
    prompt_template: str | None = Field(
        None, description="text around {source}; another column's name in braces is its text"
    )
    separator: str | None = Field(
        None,
        description="between prompt and target of a decoder; a space unless one of them has it",
    )
    max_source_length: int = Field(
        512, ge=1, description="most tokens of a source with its prompt; the rest is cut off"
    )
    max_target_length: int = Field(
        128, ge=2, description="most tokens of a target to learn; the rest is cut off"
    )
    train_on: Literal["first", "all", "shortest"] = Field(
        "first", description="which of several references is learnt"
    )
    generation: Generation = Field(Generation(), description="how answers are written")
    predict: Literal["texts", "log-likelihoods"] = Field(
        "texts",
        description="texts that the model writes, or how likely the references are (perplexity)",
    )

    @model_validator(mode="after")
    def template_holds_the_source(self) -> GenerationTask:
        template, marker = self.prompt_template, "{" + self.placeholder + "}"
        if template is not None and template.count(marker) != 1:
            message = f"must hold {marker} once (got {template!r})"
            raise Invalid(Problem(("prompt_template",), message))
        return self

    @model_validator(mode="after")
    def least_is_not_more_than_most(self) -> GenerationTask:
        least = self.generation.min_new_tokens
        if least is not None and least > self.most_new_tokens:
            path: Path = ("generation", "min_new_tokens")
            message = f"is more than max_target_length (got {least} and {self.max_target_length})"
            raise Invalid(Problem(path, message, "set generation.max_new_tokens"))
        return self

    # What a task says of itself

    @property
    @abstractmethod
    def source(self) -> str:
        """The column with what is read."""

    @property
    @abstractmethod
    def targets(self) -> list[str]:
        """The columns with what is to be written."""

    @property
    def instead_of_target(self) -> str | None:
        """What is right where the data has an empty list of targets; None: something must be."""
        return None

    @property
    @abstractmethod
    def decoder_template(self) -> str:
        """The prompt of a decoder unless the config has one."""

    @property
    def answer(self) -> Literal["texts", "log-likelihoods"]:
        return self.predict

    @property
    def target(self) -> Literal["labels"]:
        return "labels"

    def default_metrics(self) -> list[dict[str, Any]]:
        if self.predict == "log-likelihoods":
            return [{"name": "perplexity"}]
        return self.metrics_of_texts()

    @abstractmethod
    def metrics_of_texts(self) -> list[dict[str, Any]]:
        """The metrics where the config names none, for texts that the model writes."""

    @property
    def watched(self) -> str | None:
        return "loss"

    @property
    def max_tokens(self) -> int | None:
        return self.max_source_length

    @property
    def max_target_tokens(self) -> int | None:
        return max(self.max_target_length, self.most_new_tokens)

    @property
    def most_new_tokens(self) -> int:
        return self.generation.max_new_tokens or self.max_target_length

    @property
    def generation_settings(self) -> dict[str, Any] | None:
        return self.generation.asked(self.max_target_length)

    @property
    def columns(self) -> list[str]:
        return list(dict.fromkeys([*self.read, *self.targets]))

    @property
    def altered_columns(self) -> list[str]:
        return [] if self.source in self.targets else [self.source]

    @property
    def read(self) -> list[str]:
        """The columns that a prompt is made of, the source first."""
        return [self.source, *Template.of(self.prompt_template or "", self.placeholder).columns]

    @property
    def auto_classes(self) -> tuple[str, ...]:
        return ("AutoModelForSeq2SeqLM", "AutoModelForCausalLM")

    # From rows to features

    def references(self, rows: Dataset, labels: Sequence[str], locate: Locate) -> NDArray[Any]:
        return self._sizes(read_references(rows, self.targets, locate, self.instead_of_target))

    def _sizes(self, references: NDArray[Any]) -> NDArray[Any]:
        """The references, or where those are not what is scored (n, 2) words and bytes of the first."""
        import numpy as np

        if self.predict == "texts":
            return references
        sizes = np.zeros((len(references), 2), dtype=np.int64)
        for row, [text, *_] in enumerate(references):
            sizes[row] = len(text.split()), len(text.encode("utf-8", "surrogatepass"))
        return sizes

    def texts(self, rows: Dataset, locate: Locate) -> Sequence[str]:
        for column in self.read:
            check_texts(rows, column, locate)
        return Sources(rows, self.read)

    def tokenizer_texts(self, rows: Dataset, locate: Locate) -> Iterable[str]:
        several = read_references(rows, self.targets, locate, self.instead_of_target)
        return chain(self.texts(rows, locate), chain.from_iterable(several))

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
        learns = references is not None or self.predict == "log-likelihoods"
        options = {
            **self.model_dump(mode="json", exclude={"name", "generation", "predict"}),
            "encoder_decoder": is_encoder_decoder(bundle.model),
            "end": bundle.model.generation_config.eos_token_id,
            "learns": learns,
            "training": training,
            "version": LAYOUT,
        }

        def batches(found: Iterable[Columns]) -> Iterator[Columns]:
            example = 0
            for batch in found:
                count = len(batch[self.source])
                yield self._encode_batch(dict(batch), example, bundle, learns, training)
                example += count

        wanted = self.columns if learns else self.read
        return keep(rows.select_columns(wanted), options, batches)

    def _encode_batch(
        self, batch: dict[str, Any], first: int, bundle: Bundle, learns: bool, training: bool
    ) -> dict[str, Any]:
        """The features of rows, of which the first has the number `first`."""
        examples, targets = list(range(len(batch[self.source]))), None
        if learns:
            found = batch_references(batch, self.targets, self.instead_of_target)
            several = [self._learnt(texts, training) for texts in found]
            examples = [row for row, texts in enumerate(several) for _ in texts]
            targets = [text for texts in several for text in texts]
        read = {name: [join(batch[name][row]) for row in examples] for name in self.read}
        features = self._features(read, targets, bundle, training)
        return {**features, "example": [first + row for row in examples]}

    def _learnt(self, texts: Sequence[str], training: bool) -> list[str]:
        if self.train_on == "all" and training:
            return list(texts)
        return [min(texts, key=len) if self.train_on == "shortest" else texts[0]]

    def _features(
        self,
        read: dict[str, list[str]],
        targets: list[str] | None,
        bundle: Bundle,
        training: bool,
    ) -> dict[str, list[Any]]:
        form = self._form(bundle)
        sources = [self.source_prefix + text for text in read[self.source]]
        if isinstance(form, Seq2Seq):
            plain = "{" + self.placeholder + "}"
            templates = self._templates(plain, read)
            return form.encode(templates, sources, targets, training=training)
        leading = form.leading
        prompts = fit(
            bundle.tokenizer,
            self._templates(self.decoder_template, read),
            sources,
            self.max_source_length - len(leading),
            special=False,
            keep_end=self.keeps_end,
        )
        return form.encode(prompts, targets, leading, training=training)

    def _templates(self, usual: str, read: dict[str, list[str]]) -> list[Template]:
        """That of the config, or the usual one, with the texts of each row in it."""
        template = Template.of(self.prompt_template or usual, self.placeholder)
        rows = range(len(read[self.source]))
        names = template.columns
        return [template.with_values({name: read[name][row] for name in names}) for row in rows]

    def _form(self, bundle: Bundle) -> Seq2Seq | DecoderOnly:
        """How a model of this kind reads and writes."""
        lengths = self.max_source_length, self.max_target_length
        if is_encoder_decoder(bundle.model):
            return Seq2Seq(bundle.tokenizer, bundle.model, *lengths)
        return DecoderOnly(bundle.tokenizer, bundle.model, *lengths, self.separator)

    def collate(self, bundle: Bundle, *, training: bool = False) -> Collate:
        form, writes = self._form(bundle), self.predict == "texts" and not training
        draws = self.generation.do_sample and writes

        def batch(features: list[dict[str, Any]]) -> Mapping[str, torch.Tensor]:
            import torch

            if isinstance(form, Seq2Seq):
                made = dict(form.collate(features))
            else:
                made = dict(form.collate(features, training=training))
            if draws:
                made["example"] = torch.tensor([row["example"] for row in features])
            return made

        return batch

    # The loss of texts that are there

    def forward(self, model: Any, inputs: Mapping[str, torch.Tensor]) -> Any:
        wanted = dict(inputs)
        scored = wanted.pop("scored", None)
        if scored is not None:  # no logits of a large vocabulary for the places of the prompt
            wanted["logits_to_keep"] = scored.any(0).nonzero()[:, 0]
        return model(**wanted, use_cache=False)

    def flat_labels(self, labels: torch.Tensor) -> tuple[torch.Tensor, ...]:
        return (labels[labels != -100],)

    def flat_logits(self, outputs: Any, labels: torch.Tensor) -> tuple[torch.Tensor, ...]:
        scored, logits = labels != -100, outputs.logits
        if logits.shape[1] != labels.shape[1]:  # of the places alone that any row has a label at
            scored = scored[:, scored.any(0)]
        return (logits[scored],)

    def infer(
        self, bundle: Bundle, batch: Mapping[str, torch.Tensor], answers: bool = True
    ) -> Inferred:
        writes = self.predict == "texts"
        values: Any = (
            write(bundle, batch, self.generation.seed or 0) if answers and writes else None
        )
        if "labels" not in batch:
            return Inferred(values)
        prefix = "whole_" if "whole_input_ids" in batch else ""
        names = ("decoder_input_ids", "scored")
        inputs = {name: batch[name] for name in names if name in batch}
        for name in ("input_ids", "attention_mask"):
            inputs[name] = batch[prefix + name]
        outputs = self.forward(bundle.model, inputs)
        if answers and not writes:
            values = self._likelihoods(outputs, batch["labels"])
        return Inferred(values, *self.summed(outputs, batch["labels"]))

    def _likelihoods(self, outputs: Any, labels: torch.Tensor) -> NDArray[Any]:
        """(n, 2) the log-probability of each row's target, and its tokens."""
        import torch
        from torch.nn import functional as F

        [flat], [logits] = self.flat_labels(labels), self.flat_logits(outputs, labels)
        found = -F.cross_entropy(logits.float(), flat, reduction="none").double()
        rows = (labels != -100).nonzero()[:, 0]
        sums = found.new_zeros(len(labels), 2)
        sums.index_add_(0, rows, torch.stack([found, torch.ones_like(found)], dim=1))
        return sums.cpu().numpy()

    # Texts that the model writes

    def decode(
        self,
        values: NDArray[Any] | list[NDArray[Any]],
        features: Dataset,
        rows: Dataset,
        bundle: Bundle,
    ) -> Predictions:
        import numpy as np

        if self.predict == "log-likelihoods":
            return self._likely(np.asarray(values), features)
        texts, finished = read(bundle, values)
        details = [
            {"tokens": len(ids), "finished": done}
            for ids, done in zip(values, finished, strict=True)
        ]
        return Predictions(
            objects(texts),
            details=details,
            warnings=self._doubts(finished),
            signature=self._search,
        )

    def _likely(self, values: NDArray[Any], features: Dataset) -> Predictions:
        pairs = zip(features["whole_length"], features["length"], strict=True)
        cut = sum(whole > length for whole, length in pairs)
        doubts = [
            f"{cut} of {len(values)} pairs are longer than task.max_source_length or "
            "max_target_length, and what is cut off of a target has no perplexity"
        ]
        return Predictions(values, warnings=doubts if cut else [])

    @property
    def _search(self) -> str:
        """How answers are found, as it stands in the signature of a score."""
        settings = self.generation
        if settings.do_sample:
            return f"search:sampling|seed:{settings.seed or 0}"
        return f"search:beams-{settings.num_beams}" if settings.num_beams > 1 else "search:greedy"

    def _doubts(self, finished: Sequence[bool]) -> list[str]:
        count = len(finished) - sum(finished)
        if not count:
            return []
        return [
            f"{count} of {len(finished)} answers did not end within {self.most_new_tokens} tokens "
            "and were cut off; set task.generation.max_new_tokens to more if that is too few"
        ]
