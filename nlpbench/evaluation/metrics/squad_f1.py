"""F1 of answers by the rules of SQuAD."""

from __future__ import annotations

from nlpbench.evaluation.squad import SquadMetric
from nlpbench.tasks.spans.answer_text import token_f1


class SquadF1(SquadMetric):
    """The words that an answer shares with the closest right one: F1, a mean over questions.

    Words are compared as often as they occur, after the normalisation of squad-exact-match:
    Rajpurkar et al. 2016, "SQuAD: 100,000+ Questions for Machine Comprehension of Text"; questions
    without an answer: Rajpurkar et al. 2018, "Know What You Don't Know". With `answerability` the
    two kinds of question have keys of their own, NaN where there is no such question. Scores are
    in 0..1.

    ```yaml
    metrics:
      - squad-f1
      - {name: squad-f1, answerability: true}
    ```
    """

    @staticmethod
    def score(prediction: str, answer: str) -> float:
        return token_f1(prediction, answer)
