"""What most people write: a plain transformers Trainer on SST-2, to compare nlpbench with.

(a) DataCollatorWithPadding and default arguments; (b) --pad-to 128, as the example scripts do.
Prints `first step` when the optimiser has stepped once, and one line of JSON at the end.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import torch
from datasets import load_dataset
from transformers import (
    AutoConfig,
    AutoModelForSequenceClassification,
    AutoTokenizer,
    DataCollatorWithPadding,
    Trainer,
    TrainerCallback,
    TrainingArguments,
)


class FirstStep(TrainerCallback):
    def on_step_end(self, args, state, control, **kwargs):
        if state.global_step == 1:
            print("first step", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", required=True, help="directory of the checkpoint and tokenizer")
    parser.add_argument("--bare", help="JSON of a configuration: random weights instead")
    parser.add_argument("--train", required=True)
    parser.add_argument("--validation", required=True)
    parser.add_argument("--text", default="sentence")
    parser.add_argument("--label", default="label")
    parser.add_argument("--pad-to", type=int)
    parser.add_argument("--batch-size", type=int, default=32)
    parser.add_argument("--epochs", type=float, default=1)
    parser.add_argument("--max-steps", type=int, default=-1)
    parser.add_argument("--learning-rate", type=float, default=5e-5)
    parser.add_argument("--seed", type=int, default=42)
    parser.add_argument("--output-dir", type=Path, required=True)
    options = parser.parse_args()

    tokenizer = AutoTokenizer.from_pretrained(options.model)
    data = load_dataset("json", data_files={"train": options.train, "test": options.validation})
    data = data.class_encode_column(options.label)
    labels = data["train"].features[options.label].num_classes
    padding = {"padding": "max_length", "max_length": options.pad_to} if options.pad_to else {}
    data = data.map(
        lambda rows: tokenizer(rows[options.text], truncation=True, **padding), batched=True
    ).rename_column(options.label, "labels")
    if options.bare:
        values = json.loads(options.bare)
        config = AutoConfig.for_model(values.pop("model_type"), **values, num_labels=labels)
        model = AutoModelForSequenceClassification.from_config(config)
    else:
        model = AutoModelForSequenceClassification.from_pretrained(options.model, num_labels=labels)
    trainer = Trainer(
        model=model,
        args=TrainingArguments(
            output_dir=str(options.output_dir),
            per_device_train_batch_size=options.batch_size,
            per_device_eval_batch_size=64,
            num_train_epochs=options.epochs,
            max_steps=options.max_steps,
            learning_rate=options.learning_rate,
            seed=options.seed,
            report_to="none",
        ),
        data_collator=None if options.pad_to else DataCollatorWithPadding(tokenizer),
        train_dataset=data["train"],
        compute_metrics=lambda found: {
            "accuracy": float((found.predictions.argmax(-1) == found.label_ids).mean())
        },
        callbacks=[FirstStep()],
    )
    seconds = trainer.train().metrics["train_runtime"]
    accuracy = trainer.evaluate(data["test"])["eval_accuracy"]
    memory = torch.cuda.max_memory_allocated() / 1e6 if torch.cuda.is_available() else None
    print(json.dumps({"seconds": seconds, "accuracy": accuracy, "peak_memory_mb": memory}))


if __name__ == "__main__":
    main()
