"""What a user without nlpbench writes to label texts: transformers' pipeline, timed.

Prints one line of JSON: seconds from texts to labels, and the labels. The model is loaded before, and
a few texts are labelled to warm up.
"""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path
from typing import Any

from transformers import pipeline
from transformers.utils import logging

WARM_UP = 8


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", required=True)
    parser.add_argument("--texts", type=Path, required=True, help="a JSON list of texts")
    parser.add_argument("--max-length", type=int, required=True)
    parser.add_argument("--batch-size", type=int, help="the pipeline's own unless told")
    told = parser.parse_args()
    logging.set_verbosity_error()
    texts = json.loads(told.texts.read_text(encoding="utf-8"))
    classify = pipeline("text-classification", model=told.model, device="cpu")
    options: dict[str, Any] = {"truncation": True, "max_length": told.max_length}
    if told.batch_size is not None:
        options["batch_size"] = told.batch_size
    classify(texts[:WARM_UP], **options)
    began = time.perf_counter()
    found = classify(texts, **options)
    seconds = time.perf_counter() - began
    print(json.dumps({"seconds": seconds, "labels": [answer["label"] for answer in found]}))


if __name__ == "__main__":
    main()
