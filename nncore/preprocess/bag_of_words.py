r"""How often each word stands in a text, in `size` features: the hash of a word is its place and its sign, so no list of words is kept.

Words are runs of at least two letters, digits or underscores (the regular expression \b\w\w+\b), in lower case unless told otherwise.
Of h, the 32-bit MurmurHash3 (seed 0, read as signed) of a word in UTF-8, the place is |h| mod size, and the word counts 1, or -1 where
h < 0, so that words which share a place cancel out on average. With the norm "l2" each row is then divided by its length.
As scikit-learn's HashingVectorizer of the same size, rounded to float32.

Texts are columns of text: at most 100,000 different ones in a column, of at most 131,072 characters each in a CSV file, none of them empty.

    {"type": "bag_of_words", "columns": ["review"], "size": 4096}

Sources: Weinberger et al., "Feature Hashing for Large Scale Multitask Learning", 2009 (arXiv 0902.2206); MurmurHash3: A. Appleby, 2011.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from math import sqrt
from typing import Annotated, Any, Literal

import numpy as np
from pydantic import Field

from nncore.definition import Definition, shown
from nncore.preprocess.step import FittedMaker, Item, Make, Maker

_WORD = re.compile(r"\b\w\w+\b")
_ALL = 0xFFFFFFFF
_MOST_KEPT = 2**17  # words whose hash is remembered


class BagOfWords(Maker):
    """Makes numbers of texts."""

    model_config = shown(type="bag_of_words", columns=["review"], size=4096)

    type: Literal["bag_of_words"] = "bag_of_words"
    size: Annotated[int, Field(ge=2, le=2**20, description="Features. Fewer than the words there are, and some share a place.")] = 1024
    lower_case: Annotated[bool, Field(description="Whether words are counted whatever their case.")] = True
    norm: Annotated[Literal["l2"] | None, Field(description="null: counts as they are.")] = "l2"

    def unfit(self, item: Item) -> str | None:
        return None if item.is_text else "it works on columns of text"

    def item_after(self, item: Item) -> Item:
        return Item((self.size,))

    def fit(self, item: Item, texts: tuple[str, ...] | None, training: Iterator[np.ndarray]) -> Any:
        return {}

    def fitted(self, columns: Mapping[str, Any]) -> FittedBagOfWords:
        return FittedBagOfWords.model_validate(self.model_dump() | {"columns": columns})


class Nothing(Definition):
    """A column about which nothing needs to be known."""


class FittedBagOfWords(FittedMaker):
    """The same as the step: nothing is fitted."""

    type: Literal["bag_of_words"]
    size: Annotated[int, Field(ge=2, le=2**20)]
    lower_case: bool
    norm: Literal["l2"] | None
    columns: dict[str, Nothing]

    def make(self, name: str, texts: tuple[str, ...] | None) -> Make:
        hashes: dict[str, int] = {}

        def made(codes: np.ndarray) -> np.ndarray:
            features, bags = np.zeros((len(codes), self.size), np.float32), {}
            if len(hashes) > _MOST_KEPT:
                hashes.clear()
            for row, code in enumerate(codes.tolist()):
                if code not in bags:
                    bags[code] = self._bag((texts or ())[code], hashes)
                places, counts = bags[code]
                features[row, places] = counts
            return features

        return made

    def _bag(self, text: str, hashes: dict[str, int]) -> tuple[np.ndarray, np.ndarray]:
        """The places that are not 0, and what they hold. hashes: of words met before."""
        counts: dict[int, int] = {}
        for word in _WORD.findall(text.lower() if self.lower_case else text):
            if (found := hashes.get(word)) is None:
                found = hashes[word] = murmur3(word.encode("utf-8"))
            place = abs(found) % self.size
            counts[place] = counts.get(place, 0) + (1 if found >= 0 else -1)
        length = sqrt(sum(count * count for count in counts.values())) if self.norm else 1.0
        values = np.array(list(counts.values()), dtype=np.float64)
        return np.array(list(counts), dtype=np.int64), (values / (length or 1.0)).astype(np.float32)

    def shape_after(self, name: str, shape: tuple[int, ...] | None) -> tuple[int, ...]:
        if shape is not None:
            raise ValueError(f"bag_of_words of column {name!r}, which holds numbers")
        return (self.size,)


def murmur3(data: bytes) -> int:
    """MurmurHash3_x86_32 of `data` with the seed 0, read as a signed number."""
    h, whole = 0, len(data) // 4 * 4
    for at in range(0, whole, 4):
        h ^= _scrambled(int.from_bytes(data[at : at + 4], "little"))
        h = (h << 13 | h >> 19) & _ALL
        h = (h * 5 + 0xE6546B64) & _ALL
    if whole < len(data):
        h ^= _scrambled(int.from_bytes(data[whole:], "little"))
    h ^= len(data)
    h = ((h ^ h >> 16) * 0x85EBCA6B) & _ALL
    h = ((h ^ h >> 13) * 0xC2B2AE35) & _ALL
    h ^= h >> 16
    return h - 2**32 if h >= 2**31 else h


def _scrambled(k: int) -> int:
    k = (k * 0xCC9E2D51) & _ALL
    k = (k << 15 | k >> 17) & _ALL
    return (k * 0x1B873593) & _ALL
