"""The perturbations, one file each, and what they have in common."""

from __future__ import annotations

import hashlib
from abc import ABC, abstractmethod
from random import Random
from typing import ClassVar, TypeVar

from pydantic import Field

from nlpbench.config.component import Component

TextOrTexts = TypeVar("TextOrTexts", str, list[str])


class Perturbation(Component, ABC):
    """Alters texts and leaves their meaning; adding one is adding one file with one subclass.

    What becomes of a text follows from the seed and the text alone, whatever stands beside it.
    """

    kind: ClassVar[str] = "perturbation"
    alters_words: ClassVar[bool] = True  # False where it alters only what stands between words

    seed: int = Field(0, ge=0, description="of what is altered")

    @property
    def label(self) -> str:
        """Its name, with the options that are not the usual ones, as `typos[rate=0.2]`."""
        fields = type(self).model_fields
        told = [
            f"{key}={'+'.join(value) if isinstance(value, list) else value}"
            for key, value in self.model_dump(mode="json").items()
            if key != "name" and value != fields[key].default
        ]
        return f"{self.name}[{','.join(told)}]" if told else self.name

    def perturb(self, text: TextOrTexts) -> TextOrTexts:
        """The altered text, or as many altered words; one that nothing would be left of stays."""
        if isinstance(text, list):
            random = self._random("\0".join(text))
            return [self._altered(word, random) for word in text]
        return self._altered(text, self._random(text))

    @abstractmethod
    def alter(self, text: str, random: Random) -> str:
        """The altered text, by draws from `random`; no grapheme cluster is split."""

    def _altered(self, text: str, random: Random) -> str:
        found = self.alter(text, random)
        return found if found.strip() else text

    def _random(self, text: str) -> Random:
        digest = hashlib.blake2b(
            f"{type(self).yaml_name()}\0{self.seed}\0{text}".encode("utf-8", "surrogatepass"),
            digest_size=16,
        )
        return Random(int.from_bytes(digest.digest()))  # noqa: S311 - repeatable, not secret
