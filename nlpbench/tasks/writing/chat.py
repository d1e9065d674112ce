"""Conversations: lists of messages, written as a tokenizer's chat template has them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, overload

from nlpbench.config.errors import UserError
from nlpbench.config.problems import show
from nlpbench.tasks._columns import BATCH
from nlpbench.tasks.writing.prompts import Prompts

if TYPE_CHECKING:
    from datasets import Dataset
    from transformers import PreTrainedTokenizerBase

    from nlpbench.tasks import Locate

Messages = list[dict[str, str]]
WRITER = "assistant"
UNSCORED = -100


class Conversations(Sequence[str]):
    """What is said before the last answer, read from the disk whenever it is asked for."""

    def __init__(self, rows: Dataset, column: str) -> None:
        self.column = column
        self.rows = rows.select_columns([column]).with_format(None)

    def __len__(self) -> int:
        return len(self.rows)

    @overload
    def __getitem__(self, index: int) -> str: ...
    @overload
    def __getitem__(self, index: slice) -> list[str]: ...
    def __getitem__(self, index: int | slice) -> str | list[str]:
        found = self.rows[index][self.column]
        return list(map(_asked, found)) if isinstance(index, slice) else _asked(found)

    def __iter__(self) -> Iterator[str]:
        for batch in self.rows.iter(BATCH):
            yield from map(_asked, batch[self.column])


def conversations(rows: Dataset, column: str, locate: Locate) -> Iterator[Messages]:
    """The messages of each row, of which the last is the assistant's.

    Raises:
        UserError: something else than `{role: …, content: …}`, or another one's last word.
    """
    index = 0
    for batch in rows.select_columns([column]).with_format(None).iter(BATCH):
        for messages in batch[column]:
            _check(messages, column, locate, index)
            yield messages
            index += 1


def _check(messages: Any, column: str, locate: Locate, index: int) -> None:
    if not isinstance(messages, list) or not messages:
        raise UserError(
            f"{locate(index)}: the column {column} must hold a list of messages (got "
            f"{show(messages)})"
        )
    for number, message in enumerate(messages, 1):
        fields = (
            [message.get(key) for key in ("role", "content")] if isinstance(message, dict) else []
        )
        if not fields or not all(isinstance(value, str) for value in fields):
            raise UserError(
                f"{locate(index)}: message {number} in the column {column} must have a role and a "
                f"content, both texts (got {show(message)})"
            )
    role = messages[-1]["role"]
    if role != WRITER or len(messages) < 2:
        what = f"is of the {role}" if role != WRITER else "is the only one"
        raise UserError(
            f"{locate(index)}: the last message in the column {column} {what}; it must be the "
            f"{WRITER}'s answer to those before, which is what a model learns to write"
        )


@dataclass(frozen=True)
class ChatTemplate:
    """How a tokenizer writes messages in one text.

    Attributes:
        source: the Jinja template; the tokenizer's own where None.
    """

    tokenizer: PreTrainedTokenizerBase
    source: str | None = None

    def check(self) -> None:
        """Raises UserError where there is no template."""
        if self.source is None and not getattr(self.tokenizer, "chat_template", None):
            raise UserError(
                "the tokenizer has no chat template, so messages cannot be written as it knows them; "
                "write one in task.chat_template, or use columns with a prompt and a completion"
            )

    def prompt(self, messages: Messages) -> str:
        """All messages but the last, up to where the assistant begins."""
        return self._write(messages[:-1], begin=True)

    def target(self, messages: Messages, prompt: str) -> str:
        """The last message, up to the token that ends it, which is left out."""
        whole = self._write(messages)
        if not whole.startswith(prompt):  # a template that writes the last message otherwise
            return messages[-1]["content"]
        return _up_to(whole[len(prompt) :], self.tokenizer.eos_token)[0]

    def answers(self, messages: Messages, prompt: str) -> list[tuple[int, int]]:
        """Where in the prompt earlier answers stand, in characters, with what ends them.

        Those that the template writes otherwise as soon as others follow are not among them.
        """
        places = []
        for number, message in enumerate(messages[:-1]):
            if message["role"] != WRITER or number == 0:
                continue
            before = self._write(messages[:number], begin=True)
            after = self._write(messages[: number + 1])
            if after.startswith(before) and prompt.startswith(after):
                text, end = _up_to(after[len(before) :], self.tokenizer.eos_token)
                places.append((len(before), len(before) + len(text) + len(end)))
        return places

    def _write(self, messages: Messages, begin: bool = False) -> str:
        from jinja2 import TemplateError

        try:
            text: Any = self.tokenizer.apply_chat_template(
                [{"role": one["role"], "content": one["content"]} for one in messages],
                chat_template=self.source,
                add_generation_prompt=begin,
                tokenize=False,
            )
        except TemplateError as error:
            raise UserError(
                f"the chat template cannot write these messages ({error}): {show(messages)}"
            ) from error
        return str(text)


def fit(
    tokenizer: PreTrainedTokenizerBase,
    prompts: Sequence[str],
    answers: Sequence[Sequence[tuple[int, int]]],
    limit: int,
) -> tuple[Prompts, list[list[int]]]:
    """Prompts of which the beginning is cut off where they are longer than `limit` tokens.

    Returns:
        the prompts, and the labels of their tokens: -100 outside of the `answers`.
    """
    found: Any = tokenizer(
        list(prompts), add_special_tokens=False, return_offsets_mapping=True, verbose=False
    )
    ids, scored = [], []
    for tokens, offsets, places in zip(
        found["input_ids"], found["offset_mapping"], answers, strict=True
    ):
        labels = [
            token if any(start <= left and right <= end for start, end in places) else UNSCORED
            for token, (left, right) in zip(tokens, offsets, strict=True)
        ]
        ids.append(tokens[-limit:])
        scored.append(labels[-limit:])
    return Prompts(list(prompts), ids, [len(row) for row in found["input_ids"]]), scored


def _up_to(text: str, end: Any) -> tuple[str, str]:
    """A text up to its last end token, and that token; the whole text where there is none."""
    before, found, _ = text.rpartition(str(end)) if end else ("", "", "")
    return (before, found) if found else (text, "")


def _asked(messages: Messages) -> str:
    return "\n".join(message["content"] for message in messages[:-1])
