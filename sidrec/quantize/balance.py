"""Prices that keep codes from being crowded.

A code may be taken by at most ``capacity`` times its even share of the rows. The assignment that obeys this at the least
error is a transport problem, and its dual is one price a code, at least 0: a row takes the code of least squared distance
*plus price* (a power diagram: Aurenhammer, Hoffmann & Aronov 1998). The prices are found by Sinkhorn's iteration (Cuturi
2013; with capacities in place of equal shares, as for partial transport in Benamou et al. 2015), from soft to hard, in blocks.
They are frozen with the codebook, so a new item is encoded by the same rule, whatever else arrives with it.

Measured on Beauty (MiniLM titles, 3 x 256, one seed, one thread, after ``refine``): capacity; the largest load of any level, in
even shares; perplexity a level; mean squared residual after level 3; distinct codes an item; share of (last training,
validation) purchases with one A code; seconds. Then with co-purchase in the vectors (weight 1): load, distinct, A:

    none   3.7    233 219 205   .3004   .925   .0733    2.9     6.1   .938   .177
    2      2.03   234 218 201   .2993   .926   .0737    9.2
    1.5    1.54   239 220 215   .3014   .932   .0716   11.9     1.7   .955   .162
    1.3    1.33   244 234 224   .3017   .929   .0727   11.0     1.5   .957   .153
    1.1    1.23   249 237 238   .3060   .927   .0693   14.1     1.3   .958   .149

Codes are used more evenly, and the next purchase is foretold less often: hence off by default.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from sidrec.quantize.kmeans import blocks, nearest, recentred
from sidrec.quantize.residual import Rows, take

_SOFTEST, _HARDEST, _STEPS = 0.3, 0.03, 16  # of the mean distance from all centres, and from the nearest; iterations between
_HARD_STEPS = 16  # at the end, with whole rows in place of shares
_HARD, _FASTER, _SLOWER = 0.03, 1.5, 0.5  # size of the first such step, and what follows where it fell short or went too far
_SLACK = 1.01  # load, in units of the capacity, that is good enough
_ROWS_A_CODE, _ROWS = 64, 65_536  # rows that the prices are found from, at most the larger of the two


def balanced(
    rows_ND: Rows, centres_KD: NDArray[np.float32], capacity: float
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Centres float32 ``(K, D)`` moved to where their rows are under the prices, and the prices, float32 ``(K,)``."""
    centres_KD = recentred(rows_ND, centres_KD, capacity_prices(rows_ND, centres_KD, capacity))
    return centres_KD, capacity_prices(rows_ND, centres_KD, capacity)


def capacity_prices(
    rows_ND: Rows, centres_KD: NDArray[np.float32], capacity: float, start: NDArray[np.float32] | None = None
) -> NDArray[np.float32]:
    """float32 ``(K,)``: what to add to the squared distance from each centre so that none is nearest to more than
    ``capacity * N / K`` rows, as near as that can be had: equal rows cannot be parted. ``start`` are prices that were right
    before the centres moved a little.
    """
    codes = len(centres_KD)
    most = max(_ROWS, codes * _ROWS_A_CODE)
    if len(rows_ND) > most:
        rows_ND = take(rows_ND, np.linspace(0, len(rows_ND) - 1, most).astype(np.int64))
    if not isinstance(rows_ND, np.ndarray) and rows_ND.shape[0] * rows_ND.shape[1] <= 1 << 25:
        rows_ND = rows_ND[:]
    room = capacity * len(rows_ND) / codes
    mean = float(nearest(rows_ND, centres_KD)[1].mean(dtype=np.float64))
    if mean == 0:
        return np.zeros(codes, dtype=np.float32)  # every row lies on a centre
    prices = np.zeros(codes) if start is None else start.astype(np.float64)
    if start is None:
        away = float(np.einsum("kd,kd->", centres_KD, centres_KD, dtype=np.float64)) / codes
        for softness in np.geomspace(_SOFTEST * (mean + away), _HARDEST * mean, _STEPS).tolist():
            load = _soft_load(rows_ND, centres_KD, prices, softness)
            prices = np.maximum(0, prices + softness * np.log(np.maximum(load, 1e-9) / room))
    return _harden(rows_ND, centres_KD, prices, room, _HARD * mean)


def _harden(
    rows_ND: Rows, centres_KD: NDArray[np.float32], prices: NDArray[np.float64], room: float, size: float
) -> NDArray[np.float32]:
    """Each price goes up while its code is too full and down while it is not, in steps of its own that grow and shrink as it
    goes (Riedmiller & Braun 1993); the best of these prices."""
    codes = len(centres_KD)
    best, lowest = prices, np.inf
    sizes, before = np.full(codes, size), np.zeros(codes)
    for _ in range(_HARD_STEPS):
        labels, _ = nearest(rows_ND, centres_KD, prices.astype(np.float32))
        load = np.bincount(labels, minlength=codes)
        if load.max() < lowest:
            best, lowest = prices, float(load.max())
        if lowest <= np.ceil(_SLACK * room):
            break
        above = np.clip(np.log(np.maximum(load, 0.5) / room), -1, 1)
        sizes *= np.where(above * before > 0, _FASTER, np.where(above * before < 0, _SLOWER, 1))
        prices, before = np.maximum(0, prices + sizes * above), above
    return best.astype(np.float32)


def _soft_load(
    rows_ND: Rows, centres_KD: NDArray[np.float32], prices_K: NDArray[np.float64], softness: float
) -> NDArray[np.float64]:
    """Rows a code, where each row is shared out by ``exp(-(distance + price) / softness)``."""
    offset_K = ((centres_KD * centres_KD).sum(axis=1) + prices_K).astype(np.float32) / np.float32(softness)
    load = np.zeros(len(centres_KD))
    for part in blocks(len(rows_ND), len(centres_KD)):
        share_BK = rows_ND[part] @ (centres_KD.T * np.float32(2 / softness))
        share_BK -= offset_K
        share_BK -= share_BK.max(axis=1, keepdims=True)
        np.exp(share_BK, out=share_BK)
        load += (1 / share_BK.sum(axis=1)).astype(np.float64) @ share_BK
    return load
