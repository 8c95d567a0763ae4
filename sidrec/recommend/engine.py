"""Requests to and from the static search: buckets, packing, one device for several threads and catalogues."""

from __future__ import annotations

from collections.abc import Sequence
from threading import Lock

import numpy as np
import torch
from transformers import PreTrainedModel

from sidrec.errors import ArtifactError
from sidrec.recommend.beam import SLACK, Found
from sidrec.recommend.filters import Alive
from sidrec.recommend.graphs import Graphs
from sidrec.recommend.prompts import batches
from sidrec.recommend.static import DEAD, Bucket, StaticSearch
from sidrec.recommend.static_qwen3 import PLAIN, Kernels, StaticQwen3
from sidrec.recommend.tables import Resident, Tables

MAX_ROWS = 64  # requests of one batch
MAX_SLOTS = 1 << 17  # tokens of prompts and beams in one batch: 15 GB of keys and values of Qwen3-1.7B


class StaticEngine:
    """The static search of one model, for any catalogue of its codebook. Threads take turns.

    The catalogue is an argument of ``run``: that of the last call lies on the device and is replaced between two batches
    when another comes. So a swap of catalogues needs no new recording, and no answer is made from two of them.
    """

    def __init__(
        self,
        model: PreTrainedModel,
        first_ids: Sequence[int],
        sizes: Sequence[int],
        over_vocabulary: bool,
        kernels: Kernels = PLAIN,
    ) -> None:
        """``first_ids``: the token id of code 0 of each level; the others: see ``StaticSearch`` and ``StaticQwen3``."""
        self.model, self._kernels = model, kernels
        self._first_ids, self._sizes, self._over_vocabulary = tuple(first_ids), tuple(sizes), over_vocabulary
        self._layers = StaticQwen3(model, kernels)
        self._search: StaticSearch | None = None
        self._graphs: Graphs[Bucket] | None = None
        self._lock = Lock()

    @staticmethod
    def fits(model: PreTrainedModel) -> bool:
        """Whether the static search knows this kind of model."""
        return StaticQwen3.fits(model)

    @property
    def recorded(self) -> int:
        """How many buckets have a CUDA graph."""
        return 0 if self._graphs is None else len(self._graphs)

    def run(
        self, tables: Tables, prompts: Sequence[Sequence[int]], alive: Alive, beams: Sequence[int], k: Sequence[int]
    ) -> Found:
        """Each request's ``k`` best items that its ``beams`` find (at least ``k``), all in as few batches as fit.

        ``prompts`` end with the token that opens a semantic ID; ``alive`` is of these requests and of the trie of ``tables``.

        Raises:
            ArtifactError: the model's numbers are not finite.
        """
        most = max(k)
        items = np.zeros((len(prompts), most), dtype=np.int32)
        scores = np.full((len(prompts), most), DEAD, dtype=np.float32)
        levels = np.zeros((len(prompts), most, len(self._sizes)), dtype=np.float32)
        exact = np.zeros(len(prompts), dtype=np.bool_)
        excluded = np.split(alive.positions, np.searchsorted(alive.rows, np.arange(1, len(prompts))))
        for rows in self._batches(prompts, max(beams)):
            bucket = Bucket(
                _power(len(rows), 2, 1),
                prompt_slots(max(len(prompts[row]) for row in rows), self._layers.positions),
                beam_slots(max(beams[row] for row in rows)),
                _power(max(len(excluded[row]) for row in rows), 4, 64),
            )
            with self._lock:
                search, graphs = self._ready(tables)
                packed = np.zeros((bucket.rows, bucket.columns), dtype=np.int32)
                packed[:, bucket.prompt] = 1  # a row of no request: one token, no beams
                packed[:, bucket.prompt + 3 :] = search.resident.capacity
                # Of this batch alone: all requests together may have more masks than there are rows for.
                groups = sorted({int(alive.group[row]) for row in rows}) if alive.sums else []
                with torch.inference_mode():
                    slots = dict(zip(groups, search.resident.slots([alive.sums[group] for group in groups]), strict=True))
                for own, row in zip(packed, rows, strict=False):
                    prompt, left_out = prompts[row], excluded[row]
                    own[: len(prompt)] = prompt
                    mask = slots[int(alive.group[row])] if alive.sums else 0
                    own[bucket.prompt : bucket.prompt + 3] = len(prompt), beams[row], mask
                    own[bucket.prompt + 3 :][: len(left_out)] = left_out
                answers = graphs.run(bucket, packed)
                width = search.widths(bucket.beams)[-1]
            for row, answer in zip(rows, answers, strict=False):
                best = min(k[row], width)
                bound, finite = answer[-2:-1].view(np.float32)[0], answer[-1]
                if not finite:
                    raise ArtifactError(
                        "the model's logits are not finite numbers: its training diverged or its weights are damaged"
                    )
                score = answer[width : 2 * width].view(np.float32)[:best]
                live = score > DEAD
                scores[row, :best] = score
                items[row, :best] = np.where(live, tables.trie.items[np.where(live, answer[:best], 0)], 0)
                levels[row, :best] = answer[2 * width : -2].view(np.float32).reshape(width, -1)[:best]
                exact[row] = bound == DEAD or bound < score[live].min(initial=np.inf) - SLACK
        return Found(items, scores, levels, exact)

    def _batches(self, prompts: Sequence[Sequence[int]], beams: int) -> list[list[int]]:
        """Requests of similar length together, no more than fit at once."""
        below = beam_slots(beams) * (len(self._sizes) - 1)
        made: list[list[int]] = []
        for rows in batches(prompts, MAX_ROWS):
            slots = prompt_slots(len(prompts[rows[-1]]), self._layers.positions) + below  # the longest stands last
            size = 1 << (max(1, MAX_SLOTS // slots).bit_length() - 1)
            made += [rows[start : start + size] for start in range(0, len(rows), size)]
        return made

    @torch.inference_mode()
    def _ready(self, tables: Tables) -> tuple[StaticSearch, Graphs[Bucket]]:
        """The search with this catalogue on the device, made anew where the model moved or the catalogue outgrew its room."""
        if self._layers.outdated:
            self._layers, self._search = StaticQwen3(self.model, self._kernels), None
        if self._search is None or self._graphs is None or not self._search.resident.fits(tables):
            self._search = self._graphs = None  # let the old memory go first
            resident = Resident(tables, MAX_ROWS, self._layers.device)
            self._search = StaticSearch(self._layers, resident, self._first_ids, self._sizes, self._over_vocabulary)
            self._graphs = Graphs(self._search.run, self._layers.device)
        self._search.resident.load(tables)
        return self._search, self._graphs


def prompt_slots(tokens: int, limit: int) -> int:
    """Slots that a prompt is padded to: at most 64 too many for a short one, a tenth for a long one.

    >>> [prompt_slots(n, 40960) for n in (1, 200, 1000, 5000)]
    [64, 256, 1024, 5120]
    """
    step = 64 if tokens <= 512 else 128 if tokens <= 2048 else 512
    return min(-(-tokens // step) * step, limit)


def beam_slots(beams: int) -> int:
    """Beams that a search is padded to.

    >>> [beam_slots(n) for n in (1, 10, 50, 100, 256)]
    [8, 16, 56, 128, 256]
    """
    step = 8 if beams <= 64 else 64
    return -(-beams // step) * step


def _power(count: int, base: int, least: int) -> int:
    while least < count:
        least *= base
    return least
