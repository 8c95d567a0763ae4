"""Which token may come next, from the last few tokens alone: a mask over logits that knows no request and no step.

Stateless on purpose: engines reorder rows, preempt requests, fork beams and hand over other tokens than they sampled last. What
was read since the last ``<|sid_start|>`` is a path in the trie; it is walked again each time, for all rows at once, on the
logits' own device, with fixed shapes and without a word to the host.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from sidrec.errors import ArtifactError, DataError
from sidrec.recommend.trie import Trie
from sidrec.types import ItemCodes
from sidrec.vocabulary import REC, SidVocabulary

CODES_VARIABLE = "SIDREC_CODES"
_NOTHING = -1  # a token before the first


@dataclass(frozen=True)
class SidConstraint:
    """After ``<|sid_start|>`` the codes that continue an item's semantic ID, then ``<|sid_end|>``; elsewhere any token but a
    code or ``<|sid_end|>``, which mean nothing there. A semantic ID that already went astray may only be ended.

    ``keys[d]``: int64 ``(nodes of depth d + 1,)``, sorted: the parent's number x the level's size + the code. ``first`` and
    ``behind``: of each of these nodes, the first leaf position below it and the one past the last. ``offered``, bool ``(N,)``:
    items that may come out at all, ``None``: all; ``sums`` are its prefix sums.
    """

    vocabulary: SidVocabulary
    item_ids: tuple[str, ...]
    trie: Trie
    keys: tuple[Tensor, ...]
    first: tuple[Tensor, ...]
    behind: tuple[Tensor, ...]
    offered: NDArray[np.bool_] | None = None
    sums: Tensor | None = None

    @classmethod
    def of(
        cls,
        codes: ItemCodes,
        item_ids: Sequence[str],
        vocabulary: SidVocabulary,
        device: str = "cpu",
        offered: NDArray[np.bool_] | None = None,
    ) -> SidConstraint:
        """Built once; ``device`` is where the logits will be.

        Raises:
            ArtifactError: codes and vocabulary have other level sizes.
        """
        if codes.sizes != vocabulary.sizes:
            raise ArtifactError(f"the codes have the level sizes {codes.sizes}, the model's vocabulary {vocabulary.sizes}")
        trie = Trie.build(codes.codes, codes.sizes)
        keys, first, behind = [], [], []
        for level, size in enumerate(trie.sizes):
            parents = np.repeat(np.arange(trie.width(level), dtype=np.int64), np.diff(trie.children[level]))
            low, high = trie.leaf_range(level + 1, np.arange(trie.width(level + 1)))
            keys.append(torch.from_numpy(parents * size + trie.codes[level]).to(device))
            first.append(torch.from_numpy(np.array(low, dtype=np.int64)).to(device))
            behind.append(torch.from_numpy(np.array(high, dtype=np.int64)).to(device))
        offered = None if offered is None or offered.all() else offered
        sums = None if offered is None else torch.from_numpy(trie.alive(offered)).to(device)
        return cls(vocabulary, tuple(item_ids), trie, tuple(keys), tuple(first), tuple(behind), offered, sums)

    @classmethod
    def load(cls, model: Path, codes: Path | None = None, device: str = "cpu") -> SidConstraint:
        """Of a model folder and the codes of its catalogue.

        ``codes`` is a folder with ``codes.parquet``: by default the one that the variable SIDREC_CODES names, or the model
        folder itself, or ``3-codes`` beside it, as in a run. Items that a ``registry.parquet`` there calls retired or
        absent are not offered.

        Raises:
            ArtifactError: there are no codes, the tokenizer has no SID tokens, or they do not belong together.
        """
        from tokenizers import Tokenizer

        from sidrec import storage  # polars: only where a file is read

        named = codes or (Path(variable) if (variable := os.environ.get(CODES_VARIABLE)) else None)
        places = [model, model.parent / "3-codes"] if named is None else [named]
        found = next((folder for folder in places if (folder / "codes.parquet").is_file()), None)
        if found is None:
            listed = " or ".join(map(str, places))
            raise ArtifactError(f"no codes.parquet in {listed}: name its folder with the variable {CODES_VARIABLE}")
        tokenizer_file = model / "tokenizer.json"
        first_id = Tokenizer.from_file(str(tokenizer_file)).token_to_id(REC) if tokenizer_file.is_file() else None
        if first_id is None:
            raise ArtifactError(f"{model} has no tokenizer.json with the token {REC}: give a model folder that sidrec trained")
        items = storage.load_codes(found)
        names, item_ids = SidVocabulary(items.sizes, first_id), storage.load_item_ids(found).to_list()
        return cls.of(items, item_ids, names, device, storage.load_offered(found, items.n_items))

    @property
    def reach(self) -> int:
        """How many of the last tokens must be known: ``<|sid_start|>`` and the codes."""
        return self.vocabulary.levels + 1

    def alive(self, item_ids: Sequence[str]) -> NDArray[np.int32]:
        """An allow-list as prefix sums for ``mask_``: int32 ``(N + 1,)``.

        Raises:
            DataError: an id is not in the catalogue, or there is none.
        """
        rows = {item_id: row for row, item_id in enumerate(self.item_ids)}
        unknown = [item_id for item_id in item_ids if item_id not in rows]
        if unknown or not item_ids:
            what = f"no item {unknown[0]!r} in the catalogue of {len(rows)} items" if unknown else "no item is allowed"
            raise DataError(f"the allow-list cannot be used: {what}")
        eligible = np.zeros(len(rows), dtype=np.bool_)
        eligible[[rows[item_id] for item_id in item_ids]] = True
        return self.trie.alive(eligible if self.offered is None else eligible & self.offered)

    def tail(self, *tokens: Sequence[int]) -> list[int]:
        """The last ``reach`` of some token ids in order, with -1 in front where there are fewer.

        >>> codes = ItemCodes(np.array([[0, 1]], dtype=np.int32), (2, 2))
        >>> SidConstraint.of(codes, ["P0"], SidVocabulary((2, 2), 10)).tail([5, 6], [11])
        [5, 6, 11]
        """
        found: list[int] = []
        for part in reversed(tokens):
            if (missing := self.reach - len(found)) > 0:
                found = [*part[-missing:], *found]
        return [_NOTHING] * (self.reach - len(found)) + found

    def mask_(self, logits_BV: Tensor, tails: Tensor, alive: Tensor | None = None) -> Tensor:
        """Put -inf where a token may not come next; in place.

        Args:
            logits_BV: of the next token.
            tails: int64 ``(B, reach)``: the last tokens of each row (``tail``), on the same device.
            alive: int32 ``(N + 1,)`` or ``(B, N + 1)``: only these items (``alive``); default: all on offer. Where none is
                left below a path, it may only be ended.
        """
        names = self.vocabulary
        alive = self.sums if alive is None else alive
        inside, depth, node, astray = self._walk(tails)
        block = torch.zeros((len(tails), names.last_id - names.first_id + 1), dtype=torch.bool, device=tails.device)
        for level, size in enumerate(names.sizes):
            offset = int(names.level_offsets[level]) - names.first_id
            wanted = node[:, None] * size + torch.arange(size, device=tails.device)
            at, there = self._find(level, wanted)
            there &= (inside & ~astray & (depth == level))[:, None]
            if alive is not None:
                there &= _count(alive, self.behind[level][at]) > _count(alive, self.first[level][at])
            block[:, offset : offset + size] = there
        end = names.end_id - names.first_id
        block[:, end] = inside & ~block.any(dim=1)
        block[:, :end] = ~inside[:, None]
        logits_BV[:, names.first_id : names.last_id + 1].masked_fill_(~block, -torch.inf)
        logits_BV[:, : names.first_id].masked_fill_(inside[:, None], -torch.inf)
        logits_BV[:, names.last_id + 1 :].masked_fill_(inside[:, None], -torch.inf)
        return logits_BV

    def _walk(self, tails: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Of each row: is a semantic ID open, how many codes were read, the node they lead to, and do they lead to none?"""
        names, levels = self.vocabulary, self.vocabulary.levels
        place = torch.arange(levels + 1, device=tails.device)
        start = torch.where(tails == names.start_id, place, -1).amax(dim=1)
        ended = ((tails == names.end_id) & (place > start[:, None])).any(dim=1)
        inside = (start >= 0) & ~ended
        depth = levels - start
        node = torch.zeros_like(start)
        astray = torch.zeros_like(inside)
        for level, size in enumerate(names.sizes):
            read = level < depth
            token = tails.gather(1, (start + 1 + level).clamp(0, levels)[:, None])[:, 0]
            code = token - int(names.level_offsets[level])
            at, there = self._find(level, node * size + code)
            there &= (code >= 0) & (code < size)
            astray |= read & ~there
            node = torch.where(read & there, at, node)
        return inside, depth, node, astray

    def _find(self, level: int, wanted: Tensor) -> tuple[Tensor, Tensor]:
        """Where a key is among those of a level (or a place that exists), and whether it is there."""
        keys = self.keys[level]
        at = torch.searchsorted(keys, wanted.contiguous()).clamp_(max=len(keys) - 1)
        return at, keys[at] == wanted


def _count(alive: Tensor, positions: Tensor) -> Tensor:
    return alive[positions] if alive.dim() == 1 else alive.gather(1, positions)
