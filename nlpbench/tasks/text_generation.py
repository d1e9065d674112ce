"""Text generation: a prompt, or a conversation, to what follows it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import chain
from typing import TYPE_CHECKING, Any, ClassVar

from pydantic import Field, model_validator

from nlpbench.config.problems import Invalid, Problem
from nlpbench.tasks import Bundle, Locate, objects
from nlpbench.tasks.writing.chat import ChatTemplate, Conversations, conversations, fit
from nlpbench.tasks.writing.generation import GenerationTask
from nlpbench.tasks.writing.prompts import Template
from nlpbench.tasks.writing.seq2seq import Seq2Seq

if TYPE_CHECKING:
    from datasets import Dataset
    from numpy.typing import NDArray

OF_PROMPTS = (
    "prompt_column",
    "completion_column",
    "completion_columns",
    "no_completion",
    "prompt_template",
    "separator",
    "source_prefix",
    "train_on",
)


class TextGeneration(GenerationTask):
    """A prompt, or a conversation, to what follows it.

    Columns with prompt and completion, or one with chat messages (`role` and `content`), written
    as the model's chat template has them. Of a conversation the assistant's messages alone are
    learnt, and the last one is the reference. Of a prompt that is too long, a decoder reads the
    end, and an encoder-decoder the beginning.

    ```yaml
    task: {name: text-generation, prompt_template: "{prompt}\\nAnswer:"}
    task: {name: text-generation, messages_column: messages}
    ```
    """

    placeholder: ClassVar[str] = "prompt"
    keeps_end: ClassVar[bool] = True

    prompt_column: str | None = Field(
        None, description="column with the prompt; prompt unless told"
    )
    completion_column: str | None = Field(
        None, description="column with what follows, or several of it; completion unless told"
    )
    completion_columns: list[str] | None = Field(
        None, min_length=2, description="several columns, each with what may follow"
    )
    no_completion: str | None = Field(
        None, min_length=1, description="what is right where a list of completions is empty"
    )
    messages_column: str | None = Field(None, description="column with conversations instead")
    chat_template: str | None = Field(
        None, description="of messages, in Jinja; the tokenizer's own unless told"
    )
    prompt_template: str | None = Field(
        None, description="text around {prompt}; another column's name in braces is its text"
    )
    source_prefix: str = Field("", description="text before every prompt")
    language: str | None = Field(
        None, min_length=2, description="for multilingual models the language's code, such as en_XX"
    )

    @model_validator(mode="after")
    def one_kind_of_data(self) -> TextGeneration:
        problems = []
        if self.messages_column is not None:
            problems += [
                Problem((key,), "excludes messages_column", "keep one of them", at_key=True)
                for key in OF_PROMPTS
                if getattr(self, key) != type(self).model_fields[key].default
            ]
        elif self.chat_template is not None:
            problems.append(Problem(("chat_template",), "needs messages_column", at_key=True))
        if self.completion_columns is not None and self.completion_column is not None:
            message = "excludes completion_column"
            problems.append(Problem(("completion_columns",), message, "keep one", at_key=True))
        if problems:
            raise Invalid(*problems)
        return self

    @property
    def source(self) -> str:
        return self.messages_column or self.prompt_column or "prompt"

    @property
    def targets(self) -> list[str]:
        if self.messages_column is not None:
            return [self.messages_column]
        return self.completion_columns or [self.completion_column or "completion"]

    @property
    def languages(self) -> tuple[str | None, str | None]:
        return self.language, self.language

    @property
    def instead_of_target(self) -> str | None:
        return self.no_completion

    @property
    def decoder_template(self) -> str:
        return "{prompt}"

    def metrics_of_texts(self) -> list[dict[str, Any]]:
        return [{"name": "chrf"}, {"name": "exact-match"}]

    def references(self, rows: Dataset, labels: Sequence[str], locate: Locate) -> NDArray[Any]:
        if self.messages_column is None:
            return super().references(rows, labels, locate)
        found = conversations(rows, self.messages_column, locate)
        return self._sizes(objects([[messages[-1]["content"]] for messages in found]))

    def texts(self, rows: Dataset, locate: Locate) -> Sequence[str]:
        if self.messages_column is None:
            return super().texts(rows, locate)
        for _ in conversations(rows, self.messages_column, locate):
            pass
        return Conversations(rows, self.messages_column)

    def tokenizer_texts(self, rows: Dataset, locate: Locate) -> Iterable[str]:
        if self.messages_column is None:
            return super().tokenizer_texts(rows, locate)
        found = chain.from_iterable(conversations(rows, self.messages_column, locate))
        return (message["content"] for message in found)

    def _encode_batch(
        self, batch: dict[str, Any], first: int, bundle: Bundle, learns: bool, training: bool
    ) -> dict[str, Any]:
        if self.messages_column is None:
            return super()._encode_batch(batch, first, bundle, learns, training)
        found = batch[self.messages_column]
        features = self._of_messages(found, bundle, learns, training)
        return {**features, "example": list(range(first, first + len(found)))}

    def _of_messages(
        self, found: list[Any], bundle: Bundle, learns: bool, training: bool
    ) -> dict[str, list[Any]]:
        form, chat = self._form(bundle), ChatTemplate(bundle.tokenizer, self.chat_template)
        chat.check()
        prompts = [chat.prompt(messages) for messages in found]
        if isinstance(form, Seq2Seq):
            targets = [messages[-1]["content"] for messages in found] if learns else None
            plain = [Template("", "")] * len(prompts)
            return form.encode(plain, prompts, targets, training=training)
        pairs = list(zip(found, prompts, strict=True))
        targets = [chat.target(*pair) for pair in pairs] if learns else None
        places = [chat.answers(*pair) if training else [] for pair in pairs]
        fitting, scored = fit(bundle.tokenizer, prompts, places, self.max_source_length)
        return form.encode(fitting, targets, scored=scored if training else None, training=training)
