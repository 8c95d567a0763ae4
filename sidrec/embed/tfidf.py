"""TF-IDF and truncated SVD: the encoder that needs no download.

Measured on Beauty's titles (12,101) and on Industrial's titles and descriptions (3,686), width 128, one thread; overlap@10
with MiniLM's neighbours, a title finding its own description at 1, and seconds for Beauty:

    words                                   .214   .448   0.9
    words and pairs of words                .197   .429   1.0
    words, singular values to the half      .221   .502   0.8
    ... and character 3-grams (this)        .271   .516   2.1
    ... and character 3- and 4-grams        .260   .520   3.8

Pairs of words hurt: most are rare, and the SVD spends its width on them. Character 3-grams also read a word that the
catalogue never spelled so. Scaling by the root of the singular values keeps the commonest topic from filling the vector.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.numpy import load_file, save_file
from scipy import sparse
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.utils.extmath import randomized_svd

from sidrec.errors import ArtifactError, DataError
from sidrec.log import say

KIND = "tfidf"
_FORMAT = 1
_FIT_TEXTS = 200_000  # so many texts, drawn by the seed, fix the vocabulary and the axes; bounds memory and time
_TERMS = 60_000  # most frequent terms of each analyser
_RARE_FROM = 100  # with so many texts a term of a single text says nothing about likeness
_BLOCK = 20_000
_NOTHING = 1e-6  # a projection this short is rounding, not meaning
_ANALYSERS: dict[str, dict[str, Any]] = {
    "words": {"token_pattern": r"(?u)\b\w+\b"},
    "characters": {"analyzer": "char_wb", "ngram_range": (3, 3)},
}


@dataclass(frozen=True, eq=False)
class TfidfEncoder:
    """Words and character 3-grams, sublinear TF-IDF, projected on the axes of a truncated SVD; unit rows.

    ``terms`` and ``idf`` (float32) of each analyser, ``projection`` float32 ``(V, D)`` with ``V`` terms in all, and
    ``unknown`` float32 ``(D,)``: the unit vector given to a text of which nothing is known. That is the mean direction of
    the catalogue, so such an item lies in its middle and is near to none in particular.
    """

    terms: dict[str, list[str]]
    idf: dict[str, NDArray[np.float32]]
    projection: NDArray[np.float32]
    unknown: NDArray[np.float32]

    @classmethod
    def fit(cls, texts: Sequence[str], dimension: int, seed: int) -> TfidfEncoder:
        """Learn vocabulary and axes; the width is less than ``dimension`` where the texts do not span so much.

        Raises:
            DataError: there is no text, or no text has a word.
        """
        if len(texts) > _FIT_TEXTS:
            rng = np.random.default_rng([seed, *b"embed.tfidf.sample"])
            texts = [texts[i] for i in np.sort(rng.choice(len(texts), _FIT_TEXTS, replace=False))]
        terms: dict[str, list[str]] = {}
        idf: dict[str, NDArray[np.float32]] = {}
        for name in _ANALYSERS:
            vectorizer = _vectorizer(name, min_df=2 if len(texts) >= _RARE_FROM else 1, max_features=_TERMS)
            try:
                vectorizer.fit(texts)
            except ValueError:  # scikit-learn's only word for "no term is left"
                continue
            terms[name] = vectorizer.get_feature_names_out().tolist()
            idf[name] = np.asarray(vectorizer.idf_, dtype=np.float32)
        if not terms:
            raise DataError(f"none of the {len(texts)} item texts has a word to learn from: check embed.fields")
        counted = cls(terms, idf, np.empty((0, 0), np.float32), np.empty(0, np.float32))._weigh(texts)
        width = min(dimension, *counted.shape)
        _, singular, axes = randomized_svd(counted, width, n_iter=5, random_state=seed)
        kept = int((singular > 1e-5 * singular[0]).sum())
        if kept < dimension:
            rows, columns = counted.shape
            say(f"embed: {rows} texts with {columns} terms span {kept} dimensions; embed.dimension {dimension} is cut to that")
        projection = np.ascontiguousarray((axes[:kept] / np.sqrt(singular[:kept, None])).T, dtype=np.float32)
        mean = _unit(counted @ projection).mean(axis=0)
        if not np.linalg.norm(mean) > _NOTHING:
            mean = np.eye(1, kept, dtype=np.float32)[0]
        return cls(terms, idf, projection, _unit(mean[None])[0])

    def encode(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """float32 ``(len(texts), D)``, unit rows; a text without a known term gets ``unknown``."""
        out = np.empty((len(texts), self.projection.shape[1]), dtype=np.float32)
        for start in range(0, len(texts), _BLOCK):
            vectors = np.asarray(self._weigh(texts[start : start + _BLOCK]) @ self.projection, dtype=np.float32)
            vectors[np.linalg.norm(vectors, axis=1) <= _NOTHING] = self.unknown
            out[start : start + _BLOCK] = _unit(vectors)
        return out

    def save(self, folder: Path) -> None:
        """``encoder.json`` (terms) and ``encoder.safetensors`` (numbers)."""
        table = {"kind": KIND, "format": _FORMAT, "terms": self.terms}
        (folder / "encoder.json").write_text(json.dumps(table), "utf-8")
        arrays = {f"idf.{name}": idf for name, idf in self.idf.items()}
        save_file({**arrays, "projection": self.projection, "unknown": self.unknown}, folder / "encoder.safetensors")

    @classmethod
    def load(cls, folder: Path) -> TfidfEncoder:
        """See ``save``; the loaded encoder gives the same bytes.

        Raises:
            ArtifactError: a file is missing, damaged or of another format.
        """
        try:
            table: dict[str, Any] = json.loads((folder / "encoder.json").read_text("utf-8"))
            arrays = load_file(folder / "encoder.safetensors")
            if (table["kind"], table["format"]) != (KIND, _FORMAT):
                raise ArtifactError(f"{folder} holds an encoder {table['kind']!r} of format {table['format']}, not {KIND!r}")
            terms: dict[str, list[str]] = table["terms"]
            return cls(terms, {name: arrays[f"idf.{name}"] for name in terms}, arrays["projection"], arrays["unknown"])
        except (FileNotFoundError, json.JSONDecodeError, KeyError, SafetensorError) as error:
            raise ArtifactError(f"the encoder in {folder} is missing or damaged ({error}): run `sidrec embed` again") from None

    @cached_property
    def _vectorizers(self) -> list[TfidfVectorizer]:
        found = []
        for name, terms in self.terms.items():
            vectorizer = _vectorizer(name, vocabulary=terms)
            vectorizer.idf_ = self.idf[name]
            found.append(vectorizer)
        return found

    def _weigh(self, texts: Sequence[str]) -> sparse.csr_matrix:
        """Float32 ``(n, V)``: each analyser's unit TF-IDF rows side by side, unit again (zero where no term is known)."""
        both = sparse.hstack([v.transform(texts) for v in self._vectorizers], format="csr", dtype=np.float32)
        norms = np.sqrt(np.asarray(both.multiply(both).sum(axis=1)).ravel())
        return sparse.csr_matrix(sparse.diags_array(1.0 / np.maximum(norms, _NOTHING), dtype=np.float32) @ both)


def _vectorizer(name: str, **options: Any) -> TfidfVectorizer:
    return TfidfVectorizer(sublinear_tf=True, strip_accents="unicode", dtype=np.float32, **_ANALYSERS[name], **options)


def _unit(vectors: NDArray[np.float32]) -> NDArray[np.float32]:
    norms = np.linalg.norm(vectors, axis=1, keepdims=True)
    return np.asarray(vectors / np.maximum(norms, _NOTHING), dtype=np.float32)
