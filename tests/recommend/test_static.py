"""The search of fixed shapes: the answers of the other one, and nothing in it that depends on a request's content."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from transformers import Qwen3Config, Qwen3ForCausalLM

from sidrec.errors import ArtifactError, ConfigError
from sidrec.recommend import Recommender
from sidrec.recommend.beam import Normaliser
from sidrec.recommend.engine import MAX_ROWS, StaticEngine
from sidrec.recommend.static import Bucket, StaticSearch, _key, _low, _score
from sidrec.recommend.static_qwen3 import Kernels, StaticQwen3
from sidrec.recommend.tables import Resident, Tables
from sidrec.recommend.trie import Trie
from sidrec.types import ItemCodes, Ranked, Request
from sidrec.vocabulary import SidVocabulary
from tests.recommend.helpers import catalogue, prompts, tiny_llama, tiny_qwen3, vocabulary

torch.set_num_threads(1)
SIZES = (8, 6, 5, 4)


def pair(codes: ItemCodes, normaliser: Normaliser = "valid", seed: int = 0) -> tuple[Recommender, Recommender]:
    """The search under test and the one it must equal, on one model."""
    names = vocabulary(codes.sizes)
    model = tiny_qwen3(names.last_id + 1, seed)
    plain = Recommender(model, names, codes, normaliser, static=False)
    return Recommender(model, names, codes, normaliser, static=True), plain


def assert_same(found: Sequence[Ranked], expected: Sequence[Ranked]) -> None:
    for one, other in zip(found, expected, strict=True):
        assert one.eligible == other.eligible and one.beams == other.beams
        np.testing.assert_allclose(one.scores, other.scores, atol=1e-4)
        np.testing.assert_allclose(one.levels, other.levels, atol=1e-4)
        for item, twin, score in zip(one.items.tolist(), other.items.tolist(), one.scores.tolist(), strict=True):
            assert item == twin or np.sum(np.abs(other.scores - score) < 1e-4) > 1, "items in another order"
        assert len(set(one.items.tolist())) == len(one.items)


def random_requests(rng: np.random.Generator, n: int, count: int) -> list[Request]:
    masks = [None, rng.random(n) < 0.5, rng.random(n) < 0.9]
    asked = prompts(int(rng.integers(1 << 30)), rng.integers(0, 90, count).tolist())
    return [Request(p, rng.integers(0, n, rng.integers(0, n + 1)).tolist(), masks[rng.integers(3)]) for p in asked]


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 1 << 30))
def test_the_answers_of_the_other_search(seed: int) -> None:
    compare(seed)


@pytest.mark.slow
@settings(max_examples=1500, deadline=None)
@given(st.integers(0, 1 << 30))
def test_the_answers_of_the_other_search_many_times(seed: int) -> None:
    compare(seed)


def compare(seed: int) -> None:
    """Random catalogues (also with shared semantic IDs), lengths, masks, exclusions, widths and both normalisers."""
    rng = np.random.default_rng(seed)
    sizes = tuple(rng.integers(1, 7, rng.integers(1, 6)).tolist())
    n = int(rng.integers(1, 60))
    rows = np.stack([rng.integers(0, size, n) for size in sizes], axis=1).astype(np.int32)
    shared = ItemCodes(rows, sizes, tie_level=False)
    codes = shared if seed % 2 else catalogue(seed, sizes, min(n, int(np.prod(sizes))))
    static, plain = pair(codes, "valid" if rng.random() < 0.5 else "full", seed % 5)
    requests = random_requests(rng, codes.n_items, 5)
    k, beams = int(rng.integers(1, 12)), int(rng.integers(1, 20))
    found, expected = static.answer(requests, k, beams), plain.answer(requests, k, beams)
    assert_same(found, expected)
    # The other search counts prefixes whose items share one semantic ID as pruned, this one their items: never less exact.
    assert all(one.exact or not other.exact for one, other in zip(found, expected, strict=True))


@pytest.mark.filterwarnings("ignore:.*torch.jit:DeprecationWarning")  # torch.compile's own
@pytest.mark.parametrize(
    "kernels", [Kernels(fused_attention=True), pytest.param(Kernels(compiled=True), marks=pytest.mark.slow)], ids=str
)
def test_other_kernels_find_the_same(kernels: Kernels) -> None:
    static, plain = pair(catalogue(3, SIZES, 400))
    static.__dict__["_engine"] = StaticEngine(static.model, static.vocabulary.level_offsets.tolist(), SIZES, False, kernels)
    for seed in (3, 4):
        requests = random_requests(np.random.default_rng(seed), 400, 6)
        assert_same(static.answer(requests, 5, 9), plain.answer(requests, 5, 9))


def test_bfloat16_is_near_float32() -> None:
    codes = catalogue(1, SIZES, 300)
    names = vocabulary(SIZES)
    rounded: Any = tiny_qwen3(names.last_id + 1).to(torch.bfloat16)
    static = Recommender(rounded, names, codes, static=True)
    plain = Recommender(copy.deepcopy(rounded).float(), names, codes, static=False)  # the same weights, other arithmetic
    requests = [Request(prompt) for prompt in prompts(2, (5, 40, 90, 17))]
    shared = []
    for one, other in zip(static.answer(requests, 20, 40), plain.answer(requests, 20, 40), strict=True):
        shared.append(len(set(one.items.tolist()) & set(other.items.tolist())) / 20)
        np.testing.assert_allclose(one.scores, other.scores, atol=0.3)
    assert np.mean(shared) >= 0.8


def test_batches_of_wide_beams_or_long_prompts_are_small(monkeypatch: pytest.MonkeyPatch) -> None:
    static, plain = pair(catalogue(1, SIZES, 100))
    monkeypatch.setattr("sidrec.recommend.engine.MAX_SLOTS", 400)
    engine = static.__dict__["_engine"]
    lengths = [5, 60, 63, 100, 7]
    # 64 slots a prompt (128 for the longest) and 3 x 8 below it: four short ones fit, or two long ones
    assert [len(rows) for rows in engine._batches([[1] * n for n in lengths], 8)] == [2, 2, 1]
    assert [len(rows) for rows in engine._batches([[1] * n for n in lengths[:3]], 8)] == [3]
    assert [len(rows) for rows in engine._batches([[1] * n for n in lengths[:3]], 200)] == [1, 1, 1]
    requests = [Request(prompt) for prompt in prompts(0, lengths)]
    assert_same(static.answer(requests, 3, 4), plain.answer(requests, 3, 4))


def test_widening_until_certain_ends_with_the_same_answer() -> None:
    static, plain = pair(catalogue(3, SIZES, 400))
    requests = random_requests(np.random.default_rng(3), 400, 4)
    found = static.answer(requests, 5, 5, exact=True)
    assert_same(found, plain.answer(requests, 5, 5, exact=True))
    assert all(answer.exact for answer in found)


def test_caps_are_kept() -> None:
    static, plain = pair(catalogue(3, SIZES, 400))
    requests = [Request(prompt, caps={1: 1}) for prompt in prompts(1, (5, 9))]
    assert_same(static.answer(requests, 6, 6), plain.answer(requests, 6, 6))


def test_more_requests_than_a_batch_holds() -> None:
    static, plain = pair(catalogue(1, SIZES, 100))
    requests = [Request(prompt) for prompt in prompts(1, [n % 7 for n in range(MAX_ROWS + 9)])]
    assert_same(static.answer(requests, 3, 4, batch_size=500), plain.answer(requests, 3, 4))


def test_more_masks_than_rows_over_time_and_a_mask_that_changes() -> None:
    static, plain = pair(catalogue(1, SIZES, 100))
    rng = np.random.default_rng(0)
    for start in range(0, 2 * MAX_ROWS, 16):
        requests = [Request([start // 4, 1], eligible=rng.random(100) < 0.3) for _ in range(16)]
        assert_same(static.answer(requests, 3, 4), plain.answer(requests, 3, 4))
    mask = rng.random(100) < 0.5
    for _ in range(2):
        assert mask[static.answer([Request([1], eligible=mask)], 9, 9)[0].items].all()
        mask[:] = ~mask


def test_more_masks_at_once_than_rows() -> None:
    static, plain = pair(catalogue(1, SIZES, 100))
    rng = np.random.default_rng(0)
    requests = [Request([1, 1], eligible=rng.random(100) < 0.3) for _ in range(2 * MAX_ROWS)]
    expected = plain.answer(requests, 3, 4)
    assert_same(static.answer(requests, 3, 4, batch_size=len(requests)), expected)
    assert_same(static.answer_each(requests, [3] * len(requests), [4] * len(requests)), expected)


def test_beams_and_items_beyond_all_numbers_of_a_device() -> None:
    static, plain = pair(catalogue(1, SIZES, 30))
    assert_same(static.answer([Request([1, 2])], 1 << 40, 1 << 40), plain.answer([Request([1, 2])], 1 << 40, 1 << 40))


def test_a_diverged_model_is_refused_and_a_model_changed_in_place_is_seen() -> None:
    static, plain = pair(catalogue(1, SIZES, 60))
    request = [Request([1, 2, 3])]
    static.answer(request, 3, 3)
    with torch.no_grad():
        for parameter in plain.model.parameters():
            parameter.mul_(1.5)
    assert_same(static.answer(request, 3, 3), plain.answer(request, 3, 3))
    with torch.no_grad():
        plain.model.get_input_embeddings().weight.fill_(float("nan"))  # type: ignore[operator]
    with pytest.raises(ArtifactError, match="not finite numbers"):
        static.answer(request, 3, 3)


def test_another_kind_of_model_is_refused_by_name() -> None:
    codes = catalogue(0, SIZES, 9)
    names = vocabulary(SIZES)
    with pytest.raises(ConfigError, match="plain Qwen3 models only"):
        Recommender(tiny_llama(names.last_id + 1), names, codes, static=True)
    assert not StaticEngine.fits(tiny_llama(names.last_id + 1))


def test_another_catalogue_uses_the_same_buffers_until_it_outgrows_them() -> None:
    static, plain = pair(catalogue(1, SIZES, 300))
    requests = [Request(prompt, list(range(30))) for prompt in prompts(1, (3, 9, 70))]
    static.answer(requests, 3, 4)
    engine = static.__dict__["_engine"]
    search = engine._search
    for n, kept in ((40, True), (310, True), (900, False)):
        other = catalogue(n, SIZES, n)
        assert_same(static.over(other).answer(requests, 3, 4), plain.over(other).answer(requests, 3, 4))
        assert (engine._search is search) is kept
    assert_same(static.answer(requests, 3, 4), plain.answer(requests, 3, 4))  # and back


class Recorder(TorchDispatchMode):
    """Notes what would make a GPU wait, or shapes follow values."""

    WAITING = ("_local_scalar_dense", "nonzero", "masked_select", "unique", "item", "is_nonzero", "equal", "repeat_interleave")

    def __init__(self) -> None:
        super().__init__()
        self.waiting: list[str] = []
        self.seen: list[str] = []
        self.devices: set[str] = set()

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        name = func.overloadpacket.__name__
        self.seen.append(name)
        by_mask = name in ("index", "index_put", "index_put_") and any(i is not None and i.dtype == torch.bool for i in args[1])
        if name in self.WAITING or name.startswith("_unique") or by_mask:
            self.waiting.append(name)
        made = func(*args, **(kwargs or {}))
        self.devices |= {x.device.type for x in tree_leaves((args, kwargs, made)) if isinstance(x, torch.Tensor)}
        return made


@pytest.mark.parametrize("normaliser", ["valid", "full"])
def test_nothing_waits_and_every_request_takes_the_same_steps(normaliser: Normaliser, monkeypatch: pytest.MonkeyPatch) -> None:
    static, _ = pair(catalogue(1, SIZES, 300), normaliser)
    run = StaticSearch.run
    recorders: list[Recorder] = []

    def recorded(self: StaticSearch, *arguments: Any) -> Any:
        recorders.append(Recorder())
        with recorders[-1]:
            return run(self, *arguments)

    monkeypatch.setattr(StaticSearch, "run", recorded)
    rng = np.random.default_rng(1)
    for requests in (
        [Request([1, 2])],
        [Request([5] * 40, list(range(50)), rng.random(300) < 0.2)],
        random_requests(rng, 300, 1),
    ):
        static.answer(requests, 5, 8)
    assert len(recorders) == 3 and all(not recorder.waiting for recorder in recorders)
    assert recorders[0].seen == recorders[1].seen == recorders[2].seen and "topk" in recorders[0].seen


def test_it_runs_on_tensors_without_values_at_the_real_shape() -> None:
    """On torch's "meta" device there is nothing to read: what depended on a value would fail, as would a copy to the CPU."""
    config = Qwen3Config(
        vocab_size=152_704, hidden_size=2048, intermediate_size=6144, num_hidden_layers=2, num_attention_heads=16,
        num_key_value_heads=8, head_dim=128, max_position_embeddings=8192, tie_word_embeddings=True,
    )  # fmt: skip
    meta = torch.device("meta")
    with meta:
        model = Qwen3ForCausalLM(config).to(torch.bfloat16)
    codes = catalogue(0, (256, 256, 256, 256), 2000)
    names = SidVocabulary(codes.sizes, 151_669)
    resident = Resident(Tables.of(Trie.build(codes.codes, codes.sizes), meta), 8, meta)
    for over_vocabulary in (False, True):
        search = StaticSearch(StaticQwen3(model), resident, names.level_offsets.tolist(), codes.sizes, over_vocabulary)
        for bucket in (Bucket(1, 5120, 256, 64), Bucket(64, 1024, 56, 256)):
            with torch.inference_mode(), Recorder() as recorder:
                packed = search.run(bucket, torch.empty(bucket.rows, bucket.columns, dtype=torch.int32, device=meta))
            assert packed.device == meta and packed.shape == (bucket.rows, bucket.beams * 6 + 2) and not recorder.waiting
            assert recorder.devices == {"meta"}


def test_what_waits_is_noticed() -> None:
    with Recorder() as recorder:
        ones = torch.ones(3)
        _ = ones[ones > 0], bool(ones.sum() > 0), ones.nonzero()
    assert set(recorder.waiting) == {"index", "_local_scalar_dense", "nonzero"}


def test_the_key_sorts_by_score_then_by_the_lower_number() -> None:
    score = torch.tensor([[-0.0, 0.0, -1.5, float("-inf"), -1.5, 1e-30, -1e-30]])
    low = torch.tensor([[1, 0, 7, 5, 6, 3, (1 << 32) - 2]])
    key = _key(score, low).sort(dim=1, descending=True).values
    assert _score(key)[0].tolist() == pytest.approx([1e-30, 0.0, 0.0, -1e-30, -1.5, -1.5, float("-inf")])
    assert _low(key)[0].tolist() == [3, 0, 1, (1 << 32) - 2, 6, 7, 5]


def test_the_least_recently_asked_mask_makes_room() -> None:
    static, _ = pair(catalogue(1, SIZES, 10))
    resident = Resident(static._tables, 2, torch.device("cpu"))
    sums = [np.cumsum([0, *(i == j for i in range(10))], dtype=np.int32) for j in range(3)]
    every = np.arange(11, dtype=np.int32)
    assert resident.slots((every, sums[0], sums[1])).tolist() == [0, 1, 2]
    assert resident.slots((sums[0],)).tolist() == [1]
    assert resident.slots((sums[2], sums[0])).tolist() == [2, 1]
    assert resident.masks[2, :11].tolist() == sums[2].tolist() and resident.masks[2, -1] == 1
