"""What most people write: a plain transformers Trainer on WNUT 2017, to compare nlpbench with.

The first token of each word is labelled, sentences are cut at --max-length, the best epoch on the
validation rows is kept, and strict entity F1 of the test rows is seqeval's. What is cut off is not
scored; `words_lost` says how many words that are. Prints one line of JSON at the end. The defaults
are the settings of configs/token_classification/wnut17_minilm.yaml.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import torch
from datasets import load_dataset
from seqeval.metrics import accuracy_score, f1_score, precision_score, recall_score
from seqeval.scheme import IOB2
from transformers import (
    AutoModelForTokenClassification,
    AutoTokenizer,
    DataCollatorForTokenClassification,
    Trainer,
    TrainingArguments,
)

SCORES = ("entity_f1", "entity_precision", "entity_recall", "token_accuracy")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", required=True, help="directory of the checkpoint and tokenizer")
    parser.add_argument("--train", required=True)
    parser.add_argument("--validation", required=True)
    parser.add_argument("--test", required=True)
    parser.add_argument("--tokens", default="tokens")
    parser.add_argument("--tags", default="ner_tags", help="column of IOB2 strings")
    parser.add_argument("--max-length", type=int, default=128)
    parser.add_argument("--batch-size", type=int, default=32)
    parser.add_argument("--epochs", type=float, default=5)
    parser.add_argument("--learning-rate", type=float, default=2e-4)
    parser.add_argument("--warmup", type=float, default=0.1, help="share of all steps")
    parser.add_argument("--weight-decay", type=float, default=0.01)
    parser.add_argument("--bf16", action="store_true")
    parser.add_argument("--seed", type=int, default=42)
    parser.add_argument("--output-dir", type=Path, required=True)
    options = parser.parse_args()

    tokenizer = AutoTokenizer.from_pretrained(options.model, add_prefix_space=True)
    files = {"train": options.train, "validation": options.validation, "test": options.test}
    data = load_dataset("json", data_files=files)
    names = sorted({tag for tags in data["train"][options.tags] for tag in tags})
    numbers = {name: number for number, name in enumerate(names)}

    def encode(rows):
        encoded = tokenizer(
            rows[options.tokens],
            is_split_into_words=True,
            truncation=True,
            max_length=options.max_length,
        )
        encoded["labels"] = []
        for row, tags in enumerate(rows[options.tags]):
            words = encoded.word_ids(row)
            before = [None, *words[:-1]]
            encoded["labels"].append(
                [
                    -100 if word is None or word == last else numbers[tags[word]]
                    for word, last in zip(words, before, strict=True)
                ]
            )
        return encoded

    columns = data["train"].column_names
    words = sum(len(tags) for tags in data["test"][options.tags])
    data = data.map(encode, batched=True, remove_columns=columns)
    scored = sum(label != -100 for labels in data["test"]["labels"] for label in labels)

    def score(found):
        guesses, labels = found.predictions.argmax(-1), found.label_ids
        predictions = [
            [names[guess] for guess, label in zip(*pair, strict=True) if label != -100]
            for pair in zip(guesses, labels, strict=True)
        ]
        references = [[names[label] for label in row if label != -100] for row in labels]
        strict = {"mode": "strict", "scheme": IOB2, "zero_division": 0}
        return {
            "entity_f1": f1_score(references, predictions, **strict),
            "entity_precision": precision_score(references, predictions, **strict),
            "entity_recall": recall_score(references, predictions, **strict),
            "token_accuracy": accuracy_score(references, predictions),
        }

    trainer = Trainer(
        model=AutoModelForTokenClassification.from_pretrained(
            options.model, id2label=dict(enumerate(names)), label2id=numbers
        ),
        args=TrainingArguments(
            output_dir=str(options.output_dir),
            per_device_train_batch_size=options.batch_size,
            per_device_eval_batch_size=64,
            num_train_epochs=options.epochs,
            learning_rate=options.learning_rate,
            warmup_steps=options.warmup,
            weight_decay=options.weight_decay,
            bf16=options.bf16,
            use_cpu=not torch.cuda.is_available(),
            eval_strategy="epoch",
            save_strategy="epoch",
            save_total_limit=1,
            load_best_model_at_end=True,
            metric_for_best_model="entity_f1",
            seed=options.seed,
            report_to="none",
        ),
        data_collator=DataCollatorForTokenClassification(tokenizer),
        train_dataset=data["train"],
        eval_dataset=data["validation"],
        compute_metrics=score,
    )
    seconds = trainer.train().metrics["train_runtime"]
    scores = trainer.evaluate(data["test"])
    report = {"seconds": seconds, "words_lost": words - scored}
    report |= {name: scores[f"eval_{name}"] for name in SCORES}
    print(json.dumps(report))


if __name__ == "__main__":
    main()
