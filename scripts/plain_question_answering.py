"""What most people write: a plain transformers Trainer on SQuAD, to compare nlpbench with.

Windows padded to --max-length, and the answer of the highest sum of logits among the best starts
and ends of each window, as the example scripts do. Prints one line of JSON at the end: exact match
and F1 of the evaluated file, from 0 to 1.
"""

from __future__ import annotations

import argparse
import json
import re
import string
from collections import Counter, defaultdict
from pathlib import Path

import numpy as np
import torch
from datasets import Dataset, load_dataset
from transformers import (
    AutoModelForQuestionAnswering,
    AutoTokenizer,
    Trainer,
    TrainingArguments,
    default_data_collator,
)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", required=True, help="directory of the checkpoint and tokenizer")
    parser.add_argument("--train", required=True, help="jsonl file with the hub's columns")
    parser.add_argument("--test", required=True)
    parser.add_argument("--rows", type=int, help="of either file, the first ones")
    parser.add_argument("--max-length", type=int, default=384)
    parser.add_argument("--doc-stride", type=int, default=128)
    parser.add_argument("--max-answer-length", type=int, default=30)
    parser.add_argument("--n-best-size", type=int, default=20)
    parser.add_argument("--batch-size", type=int, default=32)
    parser.add_argument("--epochs", type=float, default=3)
    parser.add_argument("--learning-rate", type=float, default=2e-4)
    parser.add_argument("--warmup", type=float, default=0.1, help="share of all steps")
    parser.add_argument("--weight-decay", type=float, default=0.01)
    parser.add_argument("--bf16", action="store_true")
    parser.add_argument("--seed", type=int, default=42)
    parser.add_argument("--output-dir", type=Path, required=True)
    options = parser.parse_args()

    tokenizer = AutoTokenizer.from_pretrained(options.model)
    data = load_dataset("json", data_files={"train": options.train, "test": options.test})
    if options.rows:
        data = data.filter(lambda _, number: number < options.rows, with_indices=True)

    def windows(rows: dict) -> dict:
        return tokenizer(
            [question.lstrip() for question in rows["question"]],
            rows["context"],
            truncation="only_second",
            max_length=options.max_length,
            stride=options.doc_stride,
            return_overflowing_tokens=True,
            return_offsets_mapping=True,
            padding="max_length",
        )

    def to_train(rows: dict) -> dict:
        found = windows(rows)
        places = [
            answer_place(found, number, tokenizer.cls_token_id, rows["answers"][row])
            for number, row in enumerate(found["overflow_to_sample_mapping"])
        ]
        found["start_positions"], found["end_positions"] = map(list, zip(*places, strict=True))
        del found["offset_mapping"], found["overflow_to_sample_mapping"]
        return found

    def to_predict(rows: dict) -> dict:
        found = windows(rows)
        found["example"] = [rows["id"][row] for row in found.pop("overflow_to_sample_mapping")]
        found["offset_mapping"] = [
            [
                list(offset) if of == 1 else None
                for offset, of in zip(offsets, found.sequence_ids(number), strict=True)
            ]
            for number, offsets in enumerate(found["offset_mapping"])
        ]
        return found

    columns = data["train"].column_names
    train = data["train"].map(to_train, batched=True, remove_columns=columns)
    test = data["test"].map(to_predict, batched=True, remove_columns=columns)
    trainer = Trainer(
        model=AutoModelForQuestionAnswering.from_pretrained(options.model),
        args=TrainingArguments(
            output_dir=str(options.output_dir),
            per_device_train_batch_size=options.batch_size,
            per_device_eval_batch_size=64,
            num_train_epochs=options.epochs,
            learning_rate=options.learning_rate,
            warmup_steps=options.warmup,
            weight_decay=options.weight_decay,
            seed=options.seed,
            bf16=options.bf16,
            use_cpu=not torch.cuda.is_available(),
            save_strategy="no",
            report_to="none",
        ),
        data_collator=default_data_collator,
        train_dataset=train,
    )
    seconds = trainer.train().metrics["train_runtime"]
    starts, ends = trainer.predict(test.remove_columns(["example", "offset_mapping"])).predictions
    answers = best_answers(
        data["test"], test, starts, ends, options.n_best_size, options.max_answer_length
    )
    (options.output_dir / "predictions.json").write_text(json.dumps(answers, ensure_ascii=False))
    print(json.dumps({"seconds": seconds, **scores(data["test"], answers)}))


def answer_place(found, number: int, cls: int, answers: dict) -> tuple[int, int]:
    """The first and the last token of the answer in a window; CLS where it is not in it."""
    null = found["input_ids"][number].index(cls)
    if not answers["text"]:
        return null, null
    start = answers["answer_start"][0]
    end = start + len(answers["text"][0])
    offsets, sequence = found["offset_mapping"][number], found.sequence_ids(number)
    places = [place for place, of in enumerate(sequence) if of == 1]
    if not (offsets[places[0]][0] <= start and offsets[places[-1]][1] >= end):
        return null, null
    first = max(place for place in places if offsets[place][0] <= start)
    last = min(place for place in places if offsets[place][1] >= end)
    return first, last


def best_answers(
    rows: Dataset, windows: Dataset, starts: np.ndarray, ends: np.ndarray, count: int, longest: int
) -> dict[str, str]:
    numbers = defaultdict(list)
    for number, example in enumerate(windows["example"]):
        numbers[example].append(number)
    offsets_of = windows["offset_mapping"]
    answers = {}
    for row in rows:
        best, answer = -np.inf, ""
        for number in numbers[row["id"]]:
            offsets = offsets_of[number]
            for first in np.argsort(starts[number])[-1 : -count - 1 : -1].tolist():
                for last in np.argsort(ends[number])[-1 : -count - 1 : -1].tolist():
                    if not offsets[first] or not offsets[last]:
                        continue
                    if not first <= last < first + longest:
                        continue
                    score = starts[number][first] + ends[number][last]
                    if score > best:
                        text = row["context"][offsets[first][0] : offsets[last][1]]
                        best, answer = score, text
        answers[row["id"]] = answer
    return answers


def scores(rows: Dataset, answers: dict[str, str]) -> dict[str, float]:
    exact, f1 = [], []
    for row in rows:
        guess = words(answers[row["id"]])
        right = [words(answer) for answer in row["answers"]["text"]] or [[]]
        exact.append(max(guess == one for one in right))
        f1.append(max(overlap(guess, one) for one in right))
    return {"exact_match": float(np.mean(exact)), "f1": float(np.mean(f1))}


def words(text: str) -> list[str]:
    text = "".join(mark for mark in text.lower() if mark not in string.punctuation)
    return re.sub(r"\b(a|an|the)\b", " ", text).split()


def overlap(guess: list[str], right: list[str]) -> float:
    if not guess or not right:
        return float(guess == right)
    shared = sum((Counter(guess) & Counter(right)).values())
    return 2 * shared / (len(guess) + len(right))


if __name__ == "__main__":
    main()
