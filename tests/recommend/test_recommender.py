"""What must not matter (batches, padding, beam order), extreme catalogues, and refusals."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

import numpy as np
import pytest
import torch
from transformers import PreTrainedModel, Qwen3Config, Qwen3ForCausalLM

from sidrec.errors import ArtifactError, ConfigError, DataError
from sidrec.recommend import Recommender
from sidrec.recommend.beam import Normaliser
from sidrec.recommend.branches import AnyBranches, Branches
from sidrec.recommend.decoder import Decoder
from sidrec.recommend.qwen3 import Qwen3Branches
from sidrec.types import ItemCodes, Ranked, Request
from tests.recommend.helpers import catalogue, prompts, scores, tiny_llama, tiny_qwen3, vocabulary

torch.set_num_threads(1)
SIZES = (8, 6, 5, 4)


@pytest.fixture(scope="module")
def model() -> PreTrainedModel:
    return tiny_qwen3(vocabulary(SIZES).last_id + 1)


def make(model: PreTrainedModel, codes: ItemCodes, normaliser: Normaliser = "valid") -> Recommender:
    return Recommender(model, vocabulary(codes.sizes), codes, normaliser)


def from_rows(rows: list[list[int]], sizes: tuple[int, ...] = SIZES) -> ItemCodes:
    return ItemCodes(np.asarray(rows, dtype=np.int32).reshape(len(rows), len(sizes)), sizes)


def assert_same(found: list[Ranked], expected: list[Ranked]) -> None:
    for one, other in zip(found, expected, strict=True):
        assert one.items.tolist() == other.items.tolist()
        assert one.eligible == other.eligible
        np.testing.assert_allclose(one.scores, other.scores, atol=1e-5)


@pytest.mark.parametrize("normaliser", ["valid", "full"])
def test_batches_and_padding_change_nothing(model: PreTrainedModel, normaliser: Normaliser) -> None:
    recommender = make(model, catalogue(1, SIZES, 300), normaliser)
    asked = prompts(1, (1, 90, 3, 40, 0, 7, 7, 120, 2))
    exclude = [list(range(10 * i, 10 * i + 30)) for i in range(len(asked))]
    eligible = np.random.default_rng(1).random(300) < 0.3
    alone = [recommender.rank([p], 10, 12, [e], eligible)[0] for p, e in zip(asked, exclude, strict=True)]
    for batch_size in (2, 4, 64):
        assert_same(recommender.rank(asked, 10, 12, exclude, eligible, batch_size), alone)
    backwards = recommender.rank(asked[::-1], 10, 12, exclude[::-1], eligible)
    assert_same(backwards[::-1], alone)


def test_a_request_with_few_eligible_items_does_not_narrow_or_widen_the_others(model: PreTrainedModel) -> None:
    recommender = make(model, catalogue(1, SIZES, 300))
    asked = prompts(2, (9, 9))
    all_but_two = list(range(298))
    together = recommender.rank(asked, 10, 10, [all_but_two, []])
    assert sorted(together[0].items.tolist()) == [298, 299]
    assert_same(together[1:], recommender.rank(asked[1:], 10, 10))


def test_items_of_a_row_order_give_the_same_items(model: PreTrainedModel) -> None:
    codes = catalogue(1, SIZES, 200)
    order = np.random.default_rng(0).permutation(200)
    shuffled = ItemCodes(codes.codes[order], SIZES)
    asked = prompts(3, (5, 25))
    for one, other in zip(make(model, codes).rank(asked, 9, 9), make(model, shuffled).rank(asked, 9, 9), strict=True):
        assert one.items.tolist() == order[other.items].tolist()


def test_the_same_call_gives_the_same_bytes(model: PreTrainedModel) -> None:
    recommender = make(model, catalogue(1, SIZES, 300))
    one, other = (recommender.rank(prompts(1, (5, 50)), 10, 10) for _ in range(2))
    assert [r.scores.tobytes() for r in one] == [r.scores.tobytes() for r in other]


def test_equal_scores_stand_in_the_order_of_the_item_index() -> None:
    names = vocabulary(SIZES)
    model = tiny_qwen3(names.last_id + 1)
    with torch.no_grad():
        model.get_output_embeddings().weight.zero_()  # every code as likely as any other
    rows = [[a, b, 0, 0] for a in range(7, -1, -1) for b in range(6)]  # item 0 has the last A code
    answer = make(model, from_rows(rows), "full").rank(prompts(0, (4,)), 48, 48)[0]
    assert answer.items.tolist() == list(range(48))
    assert len(set(answer.scores.tolist())) == 1
    # too narrow for all of them: the lower codes go on, whatever else is in the batch
    narrow = make(model, from_rows(rows), "full").rank(prompts(0, (4, 30)), 5, 5, [[], list(range(40))])
    assert narrow[0].items.tolist() == [42, 43, 44, 45, 46]


def test_a_catalogue_of_one_item(model: PreTrainedModel) -> None:
    recommender = make(model, from_rows([[3, 1, 4, 1]]))
    answer = recommender.rank(prompts(0, (6,)), 10, 20)[0]
    assert (answer.items.tolist(), answer.scores.tolist(), answer.eligible) == ([0], [0.0], 1)
    assert recommender.rank(prompts(0, (6,)), 10, 20, [[0]])[0].eligible == 0


def test_no_items_at_all(model: PreTrainedModel) -> None:
    answer = make(model, from_rows([])).rank(prompts(0, (6,)), 10, 20)[0]
    assert (answer.items.tolist(), answer.eligible) == ([], 0)
    assert make(model, from_rows([])).rank([], 10, 20) == []


def test_256_times_256_items_under_one_a_code() -> None:
    sizes = (256, 256, 256)
    below = np.indices((256, 256), dtype=np.int32).reshape(2, -1).T
    codes = ItemCodes(np.column_stack((np.full(256 * 256, 9, dtype=np.int32), below)), sizes)
    model = tiny_qwen3(vocabulary(sizes).last_id + 1)
    recommender = make(model, codes)
    answer = recommender.rank(prompts(0, (6,)), 300, 300)[0]
    assert len(set(answer.items.tolist())) == 300
    # all 256 prefixes kept and one item under each of them eligible: exact, and the items can be told
    eligible = np.zeros(256 * 256, dtype=np.bool_)
    eligible[[256 * b + b for b in range(256)]] = True
    few = recommender.rank(prompts(0, (6,)), 300, 300, eligible=eligible)[0]
    assert sorted(few.items.tolist()) == [257 * b for b in range(256)]
    assert few.eligible == 256


def test_k_above_the_catalogue(model: PreTrainedModel) -> None:
    answer = make(model, catalogue(2, SIZES, 7)).rank(prompts(0, (6,)), 100, 1)[0]
    assert sorted(answer.items.tolist()) == list(range(7))
    assert answer.eligible == 7


def test_nothing_eligible_is_an_empty_answer(model: PreTrainedModel) -> None:
    recommender = make(model, catalogue(2, SIZES, 7))
    nothing = recommender.rank(prompts(0, (6, 3)), 5, 5, eligible=np.zeros(7, dtype=np.bool_))
    assert [(r.items.tolist(), r.scores.tolist(), r.eligible) for r in nothing] == [([], [], 0)] * 2
    mixed = recommender.rank(prompts(0, (6, 3)), 5, 5, [list(range(7)), []])
    assert [len(r.items) for r in mixed] == [0, 5]


def test_an_only_child_costs_no_step(model: PreTrainedModel, monkeypatch: pytest.MonkeyPatch) -> None:
    codes = from_rows([[a, b, (a + b) % 5, 0] for a in range(8) for b in range(6)])  # one item under each AB prefix
    steps: list[int] = []
    append = Branches.append

    def counting(self: Branches, tokens: torch.Tensor, *rest: torch.Tensor) -> torch.Tensor:
        steps.append(tokens.shape[1])
        return append(self, tokens, *rest)

    monkeypatch.setattr(Branches, "append", counting)
    recommenders: list[Recommender] = [make(model, codes, "valid"), make(model, codes, "full")]
    steps.clear()  # of the trial when a model is opened
    for recommender, expected in zip(recommenders, ([5], [5, 5, 5]), strict=True):
        recommender.rank(prompts(0, (6,)), 5, 5)
        assert steps == expected
        steps.clear()


def test_codes_skipped_as_only_children_are_read_where_a_branch_follows(model: PreTrainedModel) -> None:
    # A and B single below the root's choice, then four D codes: B and C are read in one go
    codes = from_rows([[a, 2, 3, d] for a in range(4) for d in range(4)])
    prompt = prompts(5, (11,))[0]
    answer = make(model, codes).rank([prompt], 16, 16)[0]
    np.testing.assert_allclose(answer.scores, scores(model, codes, prompt, "valid")[answer.items], atol=1e-4)


def test_requests_that_read_at_different_levels_find_room_in_one_batch(model: PreTrainedModel) -> None:
    # Below A 0..3 the choice is B and C, below A 4..7 it is D alone: the first request reads at once, the second all
    # three codes at the last level, behind the slots that the first took. (This once overran the buffer on real data.)
    early = [[a, b, c, 0] for a in range(4) for b in range(4) for c in range(4)]
    late = [[a, 0, 0, d] for a in range(4, 8) for d in range(4)]
    recommender = make(model, from_rows(early + late))
    asked = prompts(4, (6, 6))
    exclude = [list(range(64, 80)), list(range(64))]
    together = recommender.rank(asked, 4, 4, exclude)
    assert_same(together, [recommender.rank([p], 4, 4, [e])[0] for p, e in zip(asked, exclude, strict=True)])


@pytest.mark.parametrize("kind", [AnyBranches, Qwen3Branches])
def test_a_tree_equals_plain_forwards_of_each_path(model: PreTrainedModel, kind: type[Branches]) -> None:
    asked = prompts(7, (5, 12))
    decoder = dataclasses.replace(Decoder.open(model), kind=kind)
    # below prompt 0: 1 -> 2 -> 3 in slots 12, 13, 14; below prompt 1: 4 -> 5 and 4 -> 6
    tokens = torch.tensor([[1, 2, 3], [4, 5, 6]])
    below = torch.tensor([[0, 1, 2], [0, 1, 1]])
    edges = [(0, 0, 12), (0, 1, 12), (0, 1, 13), (0, 2, 12), (0, 2, 13), (0, 2, 14)]
    edges += [(1, 0, 12), (1, 1, 12), (1, 1, 13), (1, 2, 12), (1, 2, 14)]
    with torch.inference_mode():
        branches = decoder.read(asked, room=6)
        first = decoder.logits(branches.last)
        found = decoder.logits(branches.append(tokens, below, *torch.tensor(edges).T))
        branches.keep_rows(torch.tensor([1]))  # and go on below 4 -> 6 with one request less
        third = decoder.logits(branches.append(*(torch.tensor(x) for x in ([[7]], [[2]], [[0]], [[0]], [[12, 14, 15]]))))
        paths = [(first[0], 0, []), (first[1], 1, []), (found[0, 2], 0, [1, 2, 3]), (found[1, 1], 1, [4, 5])]
        paths += [(found[1, 2], 1, [4, 6]), (third[0, 0], 1, [4, 6, 7])]
        for logits, row, path in paths:
            plain = model(torch.tensor([[*asked[row], *path]]), use_cache=False).logits[0, -1]
            assert float((logits - plain).abs().max()) < 1e-4


@pytest.mark.parametrize("make_model", [tiny_qwen3, tiny_llama])
def test_a_wider_search_on_the_same_prefill_equals_a_new_one(make_model: Callable[[int], PreTrainedModel]) -> None:
    codes = catalogue(1, SIZES, 300)
    recommender = make(make_model(vocabulary(SIZES).last_id + 1), codes)
    asked = [Request(prompt) for prompt in prompts(1, (1, 90, 3, 40, 0, 7, 7, 120, 2))]
    widened = recommender.answer(asked, 4, 4, exact=True, max_beams=300)
    assert {answer.beams for answer in widened} > {8}  # some were widened more than once
    assert all(answer.exact for answer in widened)
    assert_same(widened, recommender.answer(asked, 4, 300))


def test_a_replaced_catalogue_leaves_the_old_one_as_it_is(model: PreTrainedModel) -> None:
    old = make(model, catalogue(1, SIZES, 50))
    before = old.rank(prompts(0, (6,)), 5, 5)
    new = dataclasses.replace(old, codes=catalogue(9, SIZES, 60))
    assert new.trie.n_items == 60
    assert_same(old.rank(prompts(0, (6,)), 5, 5), before)


def test_a_long_list_reports_progress(model: PreTrainedModel, monkeypatch: pytest.MonkeyPatch) -> None:
    from sidrec import log

    said: list[str] = []
    monkeypatch.setattr(log, "say", said.append)
    monkeypatch.setattr(log, "_PLAIN_SECONDS", 0.0)
    make(model, catalogue(1, SIZES, 50)).rank(prompts(0, [3] * 300), 2, 2, batch_size=150)
    assert "recommend: 300/300" in said[-1]


# refusals


def test_a_model_of_another_codebook_is_refused() -> None:
    codes = catalogue(0, SIZES, 9)
    with pytest.raises(ArtifactError, match=r"40 embedding rows.* ids up to 65.*another codebook"):
        make(tiny_qwen3(40), codes)
    with pytest.raises(ArtifactError, match="level sizes"):
        Recommender(tiny_qwen3(66), vocabulary((8, 6, 5, 5)), codes)


def test_models_that_the_decoder_would_get_wrong_are_refused() -> None:
    codes = catalogue(0, SIZES, 9)
    names = vocabulary(SIZES)
    eager = tiny_qwen3(names.last_id + 1)
    eager.set_attn_implementation("eager")
    with pytest.raises(ArtifactError, match=r"full attention run by 'sdpa', found .* 'eager'"):
        make(eager, codes)
    config = Qwen3Config(
        vocab_size=names.last_id + 1, hidden_size=32, intermediate_size=48, num_hidden_layers=2, num_attention_heads=4,
        num_key_value_heads=2, head_dim=8, use_sliding_window=True, sliding_window=4, max_window_layers=1,
    )  # fmt: skip
    with pytest.raises(ArtifactError, match="sliding_attention"):
        make(Qwen3ForCausalLM(config).eval(), codes)
    scaled = tiny_qwen3(names.last_id + 1)
    handle = scaled.register_forward_hook(lambda _, __, out: setattr(out, "logits", out.logits / 8))  # as Granite does
    with pytest.raises(ArtifactError, match="do not give this model's own logits"):
        make(scaled, codes)
    handle.remove()


def test_a_diverged_model_is_refused_and_not_ranked() -> None:
    names = vocabulary(SIZES)
    model = tiny_qwen3(names.last_id + 1)
    recommender = make(model, catalogue(0, SIZES, 9))
    with torch.no_grad():
        model.get_input_embeddings().weight.fill_(float("nan"))
    with pytest.raises(ArtifactError, match="not finite numbers"):
        recommender.rank(prompts(0, (6,)), 3, 3)


def test_requests_that_make_no_sense_are_named(model: PreTrainedModel) -> None:
    recommender = make(model, catalogue(0, SIZES, 9))
    with pytest.raises(DataError, match=r"prompt 1 has 252 tokens; the model reads 251 and the 5 of the answer"):
        recommender.rank([[1], [1] * 252], 3, 3)
    assert len(recommender.rank([[1] * 251], 3, 3)[0].items) == 3
    with pytest.raises(DataError, match=r"prompt 0 holds token ids outside 0\.\.65"):
        recommender.rank([[66]], 3, 3)
    with pytest.raises(DataError, match="2 prompts need as many lists of excluded items, found 1"):
        recommender.rank([[1], [2]], 3, 3, exclude=[[0]])
    with pytest.raises(DataError, match="must hold 9 booleans"):
        recommender.rank([[1]], 3, 3, eligible=np.ones(8, dtype=np.bool_))
    with pytest.raises(DataError, match="excludes item 9"):
        recommender.rank([[1]], 3, 3, exclude=[[9]])
    with pytest.raises(DataError, match="request 0 excludes item 9"):  # by the caller's count, though it is decoded last
        recommender.rank([[1, 2, 3], [1]], 3, 3, exclude=[[9], []])
    with pytest.raises(ConfigError, match="at least 1"):
        recommender.rank([[1]], 0, 3)
    for caps in ({0: 1}, {5: 1}, {2: 0}):
        with pytest.raises(DataError, match=r"request 1 caps prefixes of . codes .* 1 to 4 codes"):
            recommender.answer([Request([1]), Request([1], caps=caps)], 3, 3)
    with pytest.raises(ConfigError, match="unknown normaliser 'none'"):
        make(model, catalogue(0, SIZES, 9), "none")  # type: ignore[arg-type]
