"""Character error rate."""

from __future__ import annotations

from collections.abc import Sequence

from nlpbench.evaluation.edit_rate import EditRate


class Cer(EditRate):
    """Characters substituted, deleted and inserted per character of the references.

    The Levenshtein distance in Unicode code points over the references' code points, spaces
    included, summed over the corpus: 0.05 is 5 edits in 100 characters, and more than 1 is
    possible. Of several references a text counts against the one with the lowest rate. Distances:
    rapidfuzz.

    ```yaml
    metrics:
      - cer
      - {name: cer, lowercase: true, remove_punctuation: true}
    ```
    """

    @staticmethod
    def units(text: str) -> Sequence[str]:
        return text
