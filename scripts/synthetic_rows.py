"""Writes any number of labelled rows as jsonl, the same ones for the same seed, in little memory."""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import numpy as np

TOPICS = {
    "billing": "invoice refund charge card payment price receipt bank tax account".split(),
    "delivery": "parcel courier late address door tracking box lost arrived shipped".split(),
    "login": "password email code reset locked phone sign account access verify".split(),
    "quality": "broken scratched noise screen battery seam colour smell loose cracked".split(),
}
COMMON = "the a my is was and it please with for on when again after this very not can you".split()
WORDS = (10, 20)  # of a row, at least and at most
BLOCK = 10_000  # rows


def write_synthetic_rows(path: Path, rows: int, seed: int = 0) -> None:
    """`text` of 10 to 20 words, numbered so that no two are alike, and `label`, which it tells."""
    random = np.random.default_rng(seed)
    names = sorted(TOPICS)
    with path.open("w", encoding="utf-8") as stream:
        for start in range(0, rows, BLOCK):
            count = min(BLOCK, rows - start)
            labels = random.integers(len(names), size=count)
            lengths = random.integers(WORDS[0], WORDS[1] + 1, size=count)
            for number, label, length in zip(
                range(start, start + count), labels, lengths, strict=True
            ):
                words = np.array(COMMON + 2 * TOPICS[names[label]])
                chosen = words[random.integers(len(words), size=length - 2)]
                row = {"text": f"{' '.join(chosen)} case {number}", "label": names[label]}
                stream.write(json.dumps(row) + "\n")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("path", type=Path)
    parser.add_argument("rows", type=int)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    write_synthetic_rows(arguments.path, arguments.rows, arguments.seed)
