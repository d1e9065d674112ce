"""What TF-IDF with logistic regression reaches on an embedded sample: the README's baseline.

    python scripts/tfidf_baseline.py [--label intent]

Word n-grams and regularisation are chosen on the validation split, the score is of test.
"""

from __future__ import annotations

import argparse
import itertools
import json

from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import f1_score
from sklearn.pipeline import Pipeline, make_pipeline

from nlpbench.data.embedded import sample_folder

NGRAMS = ((1, 1), (1, 2))
STRENGTHS = (1.0, 10.0, 100.0)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sample", default="support-tickets")
    parser.add_argument("--label", default="intent")
    options = parser.parse_args()
    scores = baseline(options.sample, options.label)
    for name, score in scores.items():
        print(f"{name}: macro-F1 {score:.4f}")


def baseline(sample: str, label: str) -> dict[str, float]:
    """Macro-F1 on test, with scikit-learn's defaults and with the best setting of validation."""
    texts, labels = {}, {}
    for split in ("train", "validation", "test"):
        file = sample_folder(sample) / f"{split}.jsonl"
        rows = [json.loads(line) for line in file.read_text(encoding="utf-8").splitlines()]
        texts[split] = [row["text"] for row in rows]
        labels[split] = [row[label] for row in rows]

    def score(model: Pipeline, split: str) -> float:
        predicted = model.predict(texts[split])
        return float(f1_score(labels[split], predicted, average="macro"))

    def fit(ngrams: tuple[int, int], strength: float) -> Pipeline:
        words = TfidfVectorizer(ngram_range=ngrams)
        classifier = LogisticRegression(C=strength, max_iter=5000)
        return make_pipeline(words, classifier).fit(texts["train"], labels["train"])

    tuned = [fit(*setting) for setting in itertools.product(NGRAMS, STRENGTHS)]
    best = max(tuned, key=lambda model: score(model, "validation"))
    return {
        "defaults": score(fit((1, 1), 1.0), "test"),
        "chosen on validation": score(best, "test"),
    }


if __name__ == "__main__":
    main()
