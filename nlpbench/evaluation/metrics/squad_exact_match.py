"""Exact match by the rules of SQuAD."""

from __future__ import annotations

from nlpbench.evaluation.squad import SquadMetric


class SquadExactMatch(SquadMetric):
    """The share of questions whose answer equals a right one, but for case, articles, punctuation.

    Lower case, ASCII punctuation dropped, the English articles dropped, white space collapsed:
    Rajpurkar et al. 2016, "SQuAD: 100,000+ Questions for Machine Comprehension of Text"; questions
    without an answer: Rajpurkar et al. 2018, "Know What You Don't Know". With `answerability` the
    two kinds of question have keys of their own, NaN where there is no such question. Scores are
    in 0..1.

    ```yaml
    metrics:
      - squad-exact-match
      - {name: squad-exact-match, answerability: true}
    ```
    """

    @staticmethod
    def score(prediction: str, answer: str) -> float:
        return float(prediction == answer)
