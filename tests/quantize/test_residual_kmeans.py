from __future__ import annotations

import json
import tracemalloc
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors import safe_open
from safetensors.numpy import save_file

from sidrec.errors import ArtifactError, DataError
from sidrec.quantize import ResidualKMeans
from sidrec.quantize.kmeans import kmeans, nearest
from sidrec.quantize.refine import _solve
from sidrec.quantize.residual import Residual
from tests.quantize.shop import make_shop

SHOP = make_shop()[0].vectors


def fit(vectors: np.ndarray, sizes: tuple[int, ...], seed: int = 0) -> ResidualKMeans:
    return ResidualKMeans.fit(vectors, sizes, seed, iterations=50, tolerance=1e-4)


def error(vectors: np.ndarray, quantizer: ResidualKMeans, levels: int) -> float:
    return float(((vectors - quantizer.decode(quantizer.encode(vectors)[:, :levels])) ** 2).sum(axis=1).mean())


def header(**values: Any) -> dict[str, str]:
    return {"sidrec.quantizer": json.dumps({"method": "residual-kmeans", **values})}


def test_two_levels_take_a_grid_apart_without_rest() -> None:
    """Points at 0 or 100 (which the first level sees), plus 0 or 1 (which is left to the second)."""
    points = np.array([[0], [1], [100], [101]] * 5, dtype=np.float32)
    quantizer = fit(points, (2, 2))
    codes = quantizer.encode(points)
    assert sorted(quantizer.centres[0].ravel().tolist()) == [-50, 50]
    assert sorted(quantizer.centres[1].ravel().tolist()) == [-0.5, 0.5]
    assert len({tuple(row) for row in codes.tolist()}) == 4
    assert np.allclose(quantizer.decode(codes), points, atol=1e-4)


def test_each_level_leaves_less_and_a_prefix_decodes() -> None:
    quantizer = fit(SHOP, (8, 8, 8))
    spread = float(((SHOP - SHOP.mean(axis=0)) ** 2).sum(axis=1).mean())
    left = [error(SHOP, quantizer, level) for level in (1, 2, 3)]
    assert spread > left[0] > left[1] > left[2]
    kinds = np.repeat(np.arange(8), 12)
    same_kind = kinds[:, None] == kinds
    same_code = quantizer.encode(SHOP)[:, :1] == quantizer.encode(SHOP)[:, 0]
    assert (same_kind == same_code).mean() > 0.95, "the first level should find the eight kinds"


def test_nearest_is_the_nearest_whatever_the_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(0)
    rows, centres = rng.standard_normal((1000, 5)).astype(np.float32), rng.standard_normal((7, 5)).astype(np.float32)
    exact = ((rows[:, None].astype(np.float64) - centres) ** 2).sum(axis=2)
    monkeypatch.setattr("sidrec.quantize.kmeans._CELLS", 1)
    labels, distances = nearest(rows, centres)
    assert np.array_equal(labels, exact.argmin(axis=1))
    assert np.allclose(distances, exact.min(axis=1), atol=1e-5)


def test_every_code_is_used_where_items_differ() -> None:
    rng = np.random.default_rng(0)
    vectors = np.concatenate((rng.standard_normal((500, 16)), 50 + rng.standard_normal((12, 16)))).astype(np.float32)
    quantizer = fit(vectors, (64,))
    assert len(np.unique(quantizer.encode(vectors))) == 64


def test_empty_clusters_are_revived() -> None:
    """All centres start in one corner; Lloyd's steps alone would leave the others without a row."""
    from sidrec.quantize.kmeans import _lloyd

    rng = np.random.default_rng(0)
    rows = rng.standard_normal((400, 2)).astype(np.float32)
    start = np.full((10, 2), 100, dtype=np.float32)
    centres = _lloyd(rows, start, 30, 1e-4, rng)
    assert len(np.unique(nearest(rows, centres)[0])) == 10


def test_fewer_distinct_rows_than_codes_end_and_stay_exact() -> None:
    vectors = np.repeat(np.eye(3, dtype=np.float32), 10, axis=0)
    quantizer = fit(vectors, (8, 4))
    assert error(vectors, quantizer, 2) == pytest.approx(0, abs=1e-10)
    assert len(np.unique(quantizer.encode(vectors), axis=0)) == 3


def test_as_many_codes_as_items() -> None:
    rng = np.random.default_rng(0)
    vectors = rng.standard_normal((6, 3)).astype(np.float32)
    quantizer = fit(vectors, (6,))
    assert sorted(quantizer.encode(vectors).ravel().tolist()) == [0, 1, 2, 3, 4, 5]


def test_same_seed_same_bytes_another_seed_others(tmp_path: Path) -> None:
    for name, seed in (("a", 1), ("b", 1), ("c", 2)):
        fit(SHOP, (8, 4), seed).save(tmp_path / name)
    a, b, c = ((tmp_path / name).read_bytes() for name in "abc")
    assert a == b and a != c


def test_save_and_load(tmp_path: Path) -> None:
    quantizer = fit(SHOP, (8, 4))
    path = tmp_path / "quantizer.safetensors"
    quantizer.save(path)
    with safe_open(path, framework="numpy") as file:
        assert json.loads(file.metadata()["sidrec.quantizer"]) == {"method": "residual-kmeans", "version": 1, "sizes": [8, 4]}
    loaded = ResidualKMeans.load(path)
    assert loaded.sizes == (8, 4) and loaded.width == 24
    assert loaded.encode(SHOP).tobytes() == quantizer.encode(SHOP).tobytes()
    assert loaded.decode(loaded.encode(SHOP)).tobytes() == quantizer.decode(quantizer.encode(SHOP)).tobytes()


def test_a_bad_file_is_named(tmp_path: Path) -> None:
    path = tmp_path / "quantizer.safetensors"
    with pytest.raises(ArtifactError, match="missing or damaged"):
        ResidualKMeans.load(path)
    fit(SHOP, (4,)).save(path)
    path.write_bytes(path.read_bytes()[:-5])
    with pytest.raises(ArtifactError, match="missing or damaged"):
        ResidualKMeans.load(path)
    save_file({"mean": np.zeros(2, np.float32)}, path, header(version=9, sizes=[]))
    with pytest.raises(ArtifactError, match="version 9"):
        ResidualKMeans.load(path)
    tensors = {"mean": np.zeros(2, np.float32), "centres.0": np.zeros((3, 2), np.float32)}
    save_file(tensors, path, header(version=1, sizes=[4]))
    with pytest.raises(ArtifactError, match="contradicts itself"):
        ResidualKMeans.load(path)


def test_bad_vectors_are_named() -> None:
    broken = SHOP.copy()
    broken[7, 3] = np.nan
    with pytest.raises(DataError, match="row 7"):
        fit(broken, (4,))
    with pytest.raises(DataError, match="row 7"):
        fit(SHOP, (4,)).encode(broken)
    with pytest.raises(DataError, match=r"5 items cannot fill the 8 codes of level B: set quantize\.levels"):
        fit(SHOP[:5], (4, 8))
    with pytest.raises(DataError, match="all 5 vectors equal that of row 0"):
        fit(np.full((5, 3), 0.3, np.float32), (2,))
    with pytest.raises(DataError, match="width 24, found shape"):
        fit(SHOP, (4,)).encode(SHOP[:, :10])


@settings(max_examples=25)
@given(st.integers(0, 2**31), st.integers(2, 40), st.integers(1, 20), st.integers(1, 3))
def test_codes_lie_in_their_sizes_and_encode_goes_row_by_row(seed: int, n: int, width: int, levels: int) -> None:
    vectors = np.random.default_rng(seed).standard_normal((n, width)).astype(np.float32)
    quantizer = fit(vectors, (min(n, 5),) * levels, seed)
    codes = quantizer.encode(vectors)
    assert codes.shape == (n, levels) and codes.dtype == np.int32
    assert codes.min() >= 0 and codes.max() < min(n, 5)
    order = np.random.default_rng(seed).permutation(n)
    assert np.array_equal(quantizer.encode(vectors[order]), codes[order])


def test_the_start_on_a_sample_is_as_good(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(0)
    vectors = rng.standard_normal((4000, 32)).astype(np.float32)
    errors = []
    for rows in (250, 50):  # 4,000 is all of them; of 800 drawn, two last steps go over all
        monkeypatch.setattr("sidrec.quantize.kmeans._ROWS_A_CODE", rows)
        centres = kmeans(vectors, 16, 50, 1e-4, np.random.default_rng(1))
        errors.append(float(nearest(vectors, centres)[1].mean()))
    assert errors[1] == pytest.approx(errors[0], rel=0.02)


def test_a_residual_reads_like_the_array_that_it_stands_for() -> None:
    rng = np.random.default_rng(0)
    rows, codes = np.array([3, 5, 90]), np.array([1, 0, 1], np.int32)
    centres = rng.standard_normal((2, 24)).astype(np.float32)
    left = Residual(SHOP, SHOP[0], rows).behind(centres, codes)
    whole = SHOP[rows] - SHOP[0] - centres[codes]
    assert len(left) == 3 and left.shape == (3, 24)
    assert np.array_equal(left[:], whole) and np.array_equal(left[1:3], whole[1:3])
    assert np.array_equal(left.take(np.array([2, 0]))[:], whole[[2, 0]])


def test_rows_are_learned_from_as_if_there_were_no_others() -> None:
    """And so much the same from a file mapped into memory."""
    rows = np.flatnonzero(np.arange(96) % 5)
    chosen, copied = ResidualKMeans.fit(SHOP, (8, 4), 0, 50, 1e-4, rows), fit(SHOP[rows], (8, 4))
    assert chosen.mean.tobytes() == copied.mean.tobytes()
    for left, right in zip(chosen.centres, copied.centres, strict=True):
        assert left.tobytes() == right.tobytes()
    broken = SHOP.copy()
    broken[10] = np.nan
    ResidualKMeans.fit(broken, (8, 4), 0, 50, 1e-4, rows)  # row 10 is not among them
    broken[11] = np.nan
    with pytest.raises(DataError, match="row 11"):
        ResidualKMeans.fit(broken, (8, 4), 0, 50, 1e-4, rows)


def test_refinement_leaves_less_and_parts_more(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(0)
    vectors = np.repeat(rng.standard_normal((300, 64)), 10, axis=0) + 0.3 * rng.standard_normal((3000, 64))
    vectors = (vectors / np.sqrt(1 + np.arange(64))).astype(np.float32)
    found = []
    for rounds in (0, 3):
        monkeypatch.setattr("sidrec.quantize.refine._ROUNDS", rounds)
        quantizer = fit(vectors, (64, 64, 64))
        found.append((error(vectors, quantizer, 3), len(np.unique(quantizer.encode(vectors), axis=0))))
    assert found[1][0] < 0.99 * found[0][0]
    assert found[1][1] > 1.02 * found[0][1]


def test_the_solve_is_exact_where_two_levels_explain_everything() -> None:
    """Sums of one of two points and one of two offsets: from centres that are off, one solve finds them."""
    codes = (np.array([0, 0, 1, 1], np.int32), np.array([0, 1, 0, 1], np.int32))
    true = (np.array([[0, 1], [10, 0]], np.float32), np.array([[1, 1], [-1, -1]], np.float32))
    points = true[0][codes[0]] + true[1][codes[1]]
    left = Residual(points, np.zeros(2, np.float32))
    for table, column in zip((true[0] + 3, true[1] * 0.5), codes, strict=True):
        left = left.behind(table, column)
    solved = _solve(left)
    assert np.allclose(solved[0][codes[0]] + solved[1][codes[1]], points, atol=1e-5)


def test_large_and_falling_sizes() -> None:
    rng = np.random.default_rng(0)
    vectors = rng.standard_normal((3000, 12)).astype(np.float32)
    for sizes in ((2048,), (1024, 512, 256), (256,) * 4):
        quantizer = fit(vectors, sizes)
        codes = quantizer.encode(vectors)
        assert quantizer.sizes == sizes
        assert (codes.max(axis=0) < sizes).all() and len(np.unique(codes[:, 0])) > 0.9 * sizes[0]


def test_vectors_are_never_copied_whole() -> None:
    """31 MB of vectors, as if mapped from disk: fit and encode take blocks and a few numbers a row beside them."""
    rng = np.random.default_rng(0)
    vectors = rng.standard_normal((60_000, 128), dtype=np.float32)
    rows = np.flatnonzero(rng.random(60_000) < 0.9)
    tracemalloc.start()
    quantizer = ResidualKMeans.fit(vectors, (8, 8), 0, 5, 1e-2, rows)
    quantizer.encode(vectors)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 0.8 * vectors.nbytes, f"{peak / 1e6:.0f} MB"
