"""Small corpora for the tests of the text metrics."""

from __future__ import annotations

import random
from collections.abc import Sequence

import numpy as np

SENTENCES = """\
The library opens at nine on weekdays, except on public holidays.
A heavy goods train was held at the signal for forty-five minutes.
"Where did you leave the ladder?" asked the caretaker.
Rain is expected in the north; the south stays dry until Friday.
Our cat (the grey one) sleeps on the printer whenever it is warm.
Please return the keys to room 4.12 before 17:30.
The committee voted 7-2 against the second proposal.
She bought bread, two lemons & a jar of honey for £6.80.
Nobody had told the new cook that the oven's thermostat was broken.
It's the third time this month that the lift has stopped working.
Wild garlic grows along the path between the mill and the weir.
The report runs to 212 pages, most of them tables.
He repaired the clock, wound it, and set it ten minutes fast.
Are there any seats left for the late show?
The ferry leaves from pier B; tickets are sold on board.
When the power failed, the choir sang on in the dark.
""".splitlines()

CHINESE = """\
图书馆工作日上午九点开门。
我们的猫喜欢睡在打印机上。
请在下午五点半以前把钥匙还到四楼。
渡轮从二号码头开出，船上售票。
""".split()

JAPANESE = """\
図書館は平日の朝九時に開きます。
うちの猫はプリンターの上で寝るのが好きです。
鍵は五時半までに返してください。
""".split()

THAI = """\
ห้องสมุดเปิดเวลาเก้าโมงเช้าในวันธรรมดา
แมวของเราชอบนอนบนเครื่องพิมพ์
กรุณาคืนกุญแจก่อนห้าโมงครึ่ง
""".split()


def as_array(values: Sequence[object]) -> np.ndarray:
    """A one-dimensional array of objects, lists of equal length included."""
    array = np.empty(len(values), dtype=object)
    array[:] = values
    return array


def corpus(
    n: int = 120, references: int | Sequence[int] = 1, seed: int = 0
) -> tuple[np.ndarray, np.ndarray]:
    """Predictions and lists of references that resemble each other, some of them not at all.

    Args:
        references: how many a text has; of a sequence, one number after the other.
    """
    chance = random.Random(seed)
    numbers = [references] if isinstance(references, int) else list(references)
    predictions, rows = [], []
    for index in range(n):
        sentence = SENTENCES[index % len(SENTENCES)]
        rows.append(
            [sentence, *(noisy(sentence, chance) for _ in range(numbers[index % len(numbers)] - 1))]
        )
        predictions.append("" if index % 37 == 5 else noisy(sentence, chance))
    return as_array(predictions), as_array(rows)


def noisy(sentence: str, chance: random.Random) -> str:
    """The sentence with words dropped, doubled, moved, replaced and in capitals; never empty."""
    words = sentence.split()
    for _ in range(chance.randint(0, 5)):
        place = chance.randrange(len(words))
        kind = chance.randrange(5)
        if kind == 0 and len(words) > 3:
            del words[place]
        elif kind == 1:
            words.insert(place, words[place])
        elif kind == 2:
            words.append(words.pop(place))
        elif kind == 3:
            words[place] = chance.choice(chance.choice(SENTENCES).split())
        else:
            words[place] = words[place].upper()
    return " ".join(words)


def draw_counts(n: int, resamples: int, seed: int = 1) -> np.ndarray:
    draws = np.random.default_rng(seed).integers(0, n, (resamples, n))
    return np.stack([np.bincount(row, minlength=n) for row in draws])


def repeated(array: np.ndarray, drawn: np.ndarray) -> np.ndarray:
    return array[np.repeat(np.arange(len(drawn)), drawn)]
