"""What encodes an item that comes later: the frozen fusion and quantizer of ``3-codes``, and the rule of seats."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from sidrec.config import QuantizeConfig
from sidrec.errors import ArtifactError
from sidrec.quantize import fusion
from sidrec.quantize.checks import refuse_empty
from sidrec.quantize.frozen import load_quantizer
from sidrec.quantize.fusion import Fusion, Given
from sidrec.quantize.registry import Registry
from sidrec.quantize.seats import seat
from sidrec.types import Quantizer

QUANTIZER = "quantizer.safetensors"
# A full tie level sends an item to another code, but no farther than what the last level leaves on average: beyond that the
# code would say less of the item than one level fewer.
_FARTHEST = 1.0


@dataclass(frozen=True, slots=True, eq=False)
class Codebook:
    """Frozen: the same item gets the same learned codes, months later and on its own."""

    fusion: Fusion
    quantizer: Quantizer

    @classmethod
    def load(cls, folder: Path) -> Codebook:
        """From a folder ``3-codes``.

        Raises:
            ArtifactError: a file is missing, damaged, or of a version that this sidrec does not read.
        """
        return cls(Fusion.load(folder / fusion.FILE), load_quantizer(folder / QUANTIZER))

    def save(self, folder: Path) -> None:
        """See ``load``."""
        self.fusion.save(folder / fusion.FILE)
        self.quantizer.save(folder / QUANTIZER)

    def join(self, text: NDArray[np.float32], given: Given, item_ids: Sequence[str]) -> NDArray[np.float32]:
        """Joined vectors, float32 ``(N, D')``, of items that nobody bought yet (see ``Fusion.apply``).

        Raises:
            DataError: the text vector of an item is zero or not finite, or vectors are of another width than the codebook's.
        """
        refuse_empty(text, item_ids, "its text gives the encoder nothing to go by")
        joined = self.fusion.apply(text, given)
        if joined.shape[1] != self.quantizer.width:
            raise ArtifactError(
                f"the codebook takes vectors of width {self.quantizer.width}, the fusion beside it makes {joined.shape[1]}: "
                "the two files are of different runs; run `sidrec quantize` again"
            )
        return joined

    def place(
        self, registry: Registry, joined: NDArray[np.float32], item_ids: Sequence[str], config: QuantizeConfig
    ) -> tuple[NDArray[np.int32], NDArray[np.int32]]:
        """Learned codes int32 ``(N, levels)`` of new items, as the codebook has them, and the codes that they get.

        The order of the rows is the order in which they choose: by item id (see ``Registry.unknown``).

        Raises:
            DataError: there is no place for an item (see ``seat``).
        """
        learned = self.quantizer.encode(joined)
        near = config.collision_limit * registry.residual if config.collisions == "move" else 0.0
        far = max(near, _FARTHEST * registry.residual)

        def others(row: int) -> tuple[list[int], int]:
            own = int(learned[row, -1])
            away = self.quantizer.distances(joined[row : row + 1], learned[row : row + 1, :-1])[0]
            added = away - away[own]
            order = [code for code in np.argsort(added, kind="stable").tolist() if code != own and added[code] <= far]
            return order, int((added[order] <= near).sum()) if near else 0

        if registry.tie_level:
            return learned, seat(registry.codes, learned, registry.sizes[-1], others, item_ids)
        shared = np.column_stack((registry.codes, np.zeros(len(registry.codes), np.int32)))
        return learned, seat(shared, learned, np.iinfo(np.int32).max, others, item_ids)[:, :-1]
