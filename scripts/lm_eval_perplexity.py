"""lm-evaluation-harness on the documents of a jsonl file: what the benchmark compares nlpbench with.

    python scripts/lm_eval_perplexity.py --model DIRECTORY --documents FILE --max-length 2048

Prints a line of JSON: the log-likelihood of each document, its tokens, and the seconds it all took
from texts to sums, without loading. Settings are the harness's own: windows one by one.
"""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path

import torch
from lm_eval.api.instance import Instance
from lm_eval.models.huggingface import HFLM

parser = argparse.ArgumentParser(description=__doc__)
parser.add_argument("--model", required=True)
parser.add_argument("--documents", type=Path, required=True)
parser.add_argument("--max-length", type=int, required=True)
parser.add_argument("--dtype", default="float32")
parser.add_argument("--batch-size", type=int, default=1)


def main() -> None:
    options = parser.parse_args()
    lines = options.documents.read_text(encoding="utf-8").splitlines()
    texts = [json.loads(line)["text"] for line in lines]
    model = HFLM(
        pretrained=options.model,
        dtype=options.dtype,
        max_length=options.max_length,
        batch_size=options.batch_size,
        device="cuda" if torch.cuda.is_available() else "cpu",
    )
    requests = [Instance("loglikelihood_rolling", {}, (text,), 0) for text in texts]
    model.loglikelihood_rolling(
        [Instance("loglikelihood_rolling", {}, ("A warm-up.",), 0)], disable_tqdm=True
    )
    began = time.perf_counter()
    found = model.loglikelihood_rolling(requests, disable_tqdm=True)
    seconds = time.perf_counter() - began
    tokens = [len(model.tok_encode(text)) for text in texts]
    print(json.dumps({"log_likelihoods": found, "tokens": tokens, "seconds": seconds}))


if __name__ == "__main__":
    main()
