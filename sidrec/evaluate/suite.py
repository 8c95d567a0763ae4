"""Every baseline that one task wants, fitted once on the training parts of histories."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from sidrec.evaluate.baselines import CoOccurrence, Histories, NearestVectors, Popularity, commonest_codes
from sidrec.types import ItemCodes, ItemVectors

POPULARITY: Final = "popularity"
COOCCURRENCE: Final = "cooccurrence"
NEAREST_VECTORS: Final = "nearest_vectors"
CONSTANT: Final = "constant"
CHANCE: Final = "chance"
NEAREST_CODE: Final = "nearest_code"

TEXT_TO_SID: Final = ("title_to_sid", "description_to_sid", "features_to_sid")
HISTORY_TO_SID: Final = ("seq_last_2", "seq_last_3", "seq_last_5")
COPURCHASE: Final = ("copurchase_forward", "copurchase_backward")
SID_TO_TEXT: Final = ("sid_to_title", "sid_to_description", "sid_to_features")
TASK_K: Final = 10
"""Length of the lists in the tasks, as in the reference: hit@10 and NDCG@10."""


@dataclass(frozen=True, slots=True)
class Baselines:
    """Popularity, co-occurrence, nearest vectors, and the weights behind the constant answers. Made by ``fit``."""

    codes_NL: NDArray[np.int32]
    warm: NDArray[np.bool_]
    popularity: Popularity
    cooccurrence: CoOccurrence
    before: CoOccurrence
    vectors: NearestVectors

    @classmethod
    def fit(
        cls, train_histories: Sequence[NDArray[np.int32]], codes: ItemCodes, cold: NDArray[np.bool_], vectors: ItemVectors
    ) -> Baselines:
        """``train_histories``: the training parts only, one a user; ``cold`` bool ``(N,)``: items nothing may learn from."""
        n = codes.n_items
        turned = [history[::-1] for history in train_histories]
        return cls(
            codes_NL=codes.codes,
            warm=~cold,
            popularity=Popularity(train_histories, n),
            cooccurrence=CoOccurrence(train_histories, n),
            before=CoOccurrence(turned, n),  # time turned round: what was bought before an item
            vectors=NearestVectors(vectors.vectors),
        )

    def next_item(self, histories: Histories, k: int, exclude_seen: bool) -> dict[str, NDArray[np.int32]]:
        """Ranked lists of each baseline, int32 ``(B, k)``, under the same protocol as the model's."""
        return {
            COOCCURRENCE: self.cooccurrence.top(histories, k, exclude_seen),
            NEAREST_VECTORS: self.vectors.top(histories, k, exclude_seen),
            POPULARITY: self.popularity.top(histories, k, exclude_seen),
        }

    def sid_task(
        self,
        task: str,
        histories: Sequence[Sequence[int]],
        queries_BD: NDArray[np.float32] | None = None,
    ) -> dict[str, NDArray[np.int32]]:
        """Ranked lists (int32 ``(B, TASK_K)``) of the baselines that make sense for a task that asks for an item.

        ``histories``: the items shown in each prompt (empty ones for text tasks). ``queries_BD``: float32 unit vectors of
        the text shown, by the run's own encoder; needed for the tasks of ``TEXT_TO_SID`` alone. Co-purchase pairs are of two
        different items, so there the item shown is left out.
        """
        exclude_seen = task in COPURCHASE
        ranked = {POPULARITY: self.popularity.top(histories, TASK_K, exclude_seen)}
        if task in TEXT_TO_SID:
            if queries_BD is not None:
                ranked[NEAREST_VECTORS] = self.vectors.nearest(queries_BD, TASK_K)
        else:
            related = self.before if task == "copurchase_backward" else self.cooccurrence
            ranked[COOCCURRENCE] = related.top(histories, TASK_K, exclude_seen)
            ranked[NEAREST_VECTORS] = self.vectors.top(histories, TASK_K, exclude_seen)
        return ranked

    def constant_codes(self, task: str, level: int, n: int) -> NDArray[np.int32]:
        """The n commonest code prefixes down to ``level``: an answer that looks at nothing.

        Weighted by training purchases where a purchase is asked for, and by warm items where a text is: each time the
        stronger constant.
        """
        weights = self.warm.astype(np.int64) if task in TEXT_TO_SID else self.popularity.counts
        return commonest_codes(self.codes_NL, weights, level, n)
