"""Other engines, held to the catalogue: no invalid semantic ID, whatever they do with rows and requests."""

from __future__ import annotations

import importlib
from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from transformers import GenerationConfig, LogitsProcessorList, PreTrainedModel

from sidrec import storage
from sidrec.errors import ArtifactError, ConfigError, DataError
from sidrec.recommend import Recommender
from sidrec.recommend.elsewhere import SidConstraint, SidLogitsProcessor
from sidrec.types import ItemCodes
from sidrec.vocabulary import SidVocabulary
from tests.builders import make_tokenizer
from tests.recommend.elsewhere import engines
from tests.recommend.helpers import TEXT_IDS, catalogue, prompts, tiny_qwen3, vocabulary

SIZES = (5, 4, 3)
N = 20


@pytest.fixture(scope="module")
def codes() -> ItemCodes:
    return catalogue(3, SIZES, N)


@pytest.fixture(scope="module")
def ids() -> list[str]:
    return [f"P{i}" for i in range(N)]


@pytest.fixture(scope="module")
def constraint(codes: ItemCodes, ids: list[str]) -> SidConstraint:
    return SidConstraint.of(codes, ids, vocabulary(SIZES))


@pytest.fixture(scope="module")
def model() -> PreTrainedModel:
    return tiny_qwen3(vocabulary(SIZES).last_id + 4)


def sids(output: Sequence[int], names: SidVocabulary) -> list[tuple[int, ...] | None]:
    """The codes of every semantic ID that was begun and had room to end; ``None`` for one that is malformed."""
    starts = [i for i, token in enumerate(output) if token == names.start_id]
    return [names.codes_of_ids(output[i : i + names.levels + 2]) for i in starts if i + names.levels + 2 <= len(output)]


@given(st.lists(st.integers(TEXT_IDS - 2, vocabulary(SIZES).last_id + 1), max_size=9), st.sets(st.integers(0, N - 1)))
@settings(max_examples=200, deadline=None)
def test_the_mask_is_what_a_person_would_allow(tokens: list[int], chosen: set[int]) -> None:
    """Any tokens before, any allow-list: compared with the definition, spelled out item by item."""
    codes, names = catalogue(3, SIZES, N), vocabulary(SIZES)
    constraint = SidConstraint.of(codes, [f"P{i}" for i in range(N)], names)
    alive = torch.from_numpy(constraint.alive([f"P{i}" for i in sorted(chosen)])) if chosen else None
    logits = torch.zeros((1, names.last_id + 3))
    constraint.mask_(logits, torch.tensor([constraint.tail(tokens)]), alive)
    found = set(torch.nonzero(logits[0] == 0)[:, 0].tolist())

    items = names.ids(codes.codes[sorted(chosen) if chosen else range(N)])[:, 1:-1].tolist()
    recent = tokens[-constraint.reach :]
    begun = max((i for i, token in enumerate(recent) if token == names.start_id), default=None)
    if begun is None or names.end_id in recent[begun:]:
        expected = {token for token in range(names.last_id + 3) if not names.end_id <= token <= names.last_id}
    else:
        read = recent[begun + 1 :]
        expected = {item[len(read)] for item in items if len(read) < len(item) and item[: len(read)] == read} or {names.end_id}
    assert found == expected


@pytest.mark.parametrize("how", [{"do_sample": True}, {"num_beams": 5, "num_return_sequences": 5}, {}])
def test_generate_writes_only_items(model: PreTrainedModel, constraint: SidConstraint, codes: ItemCodes, how: dict) -> None:
    names = constraint.vocabulary
    known = set(map(tuple, codes.codes.tolist()))
    torch.manual_seed(0)
    opened = torch.tensor([[*prompt, names.start_id] for prompt in prompts(1, [7] * 20)])
    settings = GenerationConfig(max_new_tokens=4, pad_token_id=0, **({"do_sample": False} | how))
    allowed = LogitsProcessorList([SidLogitsProcessor(constraint)])
    out = model.generate(opened, settings, logits_processor=allowed, attention_mask=torch.ones_like(opened))
    found = [names.codes_of_ids(row[7:].tolist()) for row in out]
    assert len(found) >= 20 and set(found) <= known
    free = model.generate(opened, settings, attention_mask=torch.ones_like(opened))
    assert not {names.codes_of_ids(row[7:].tolist()) for row in free} <= known  # else this test tests nothing


def test_beams_rank_as_our_decoder(model: PreTrainedModel, constraint: SidConstraint, codes: ItemCodes) -> None:
    """Under a mask probabilities are renormalised over the codes possible: the normaliser "valid", without the filters'."""
    names, prompt = constraint.vocabulary, prompts(5, [6])[0]
    ours = Recommender(model, names, codes).rank([prompt], 6, 20)[0]
    opened = torch.tensor([[*prompt, names.start_id]])
    plain = GenerationConfig(
        num_beams=20, num_return_sequences=6, max_new_tokens=3, do_sample=False, length_penalty=0.0, pad_token_id=0,
        renormalize_logits=True,
    )  # fmt: skip
    rules = LogitsProcessorList([SidLogitsProcessor(constraint)])
    out = model.generate(opened, plain, logits_processor=rules, attention_mask=torch.ones_like(opened))
    assert (out[:, 7:].numpy() - names.level_offsets == codes.codes[ours.items]).all()


def test_an_allow_list_is_kept_and_checked(model: PreTrainedModel, constraint: SidConstraint, codes: ItemCodes) -> None:
    names = constraint.vocabulary
    opened = torch.tensor([[*prompt, names.start_id] for prompt in prompts(2, [4] * 50)])
    settings = GenerationConfig(max_new_tokens=4, pad_token_id=0, do_sample=True)
    rules = LogitsProcessorList([SidLogitsProcessor(constraint, ["P3", "P17"])])
    torch.manual_seed(0)
    out = model.generate(opened, settings, logits_processor=rules, attention_mask=torch.ones_like(opened))
    found = {names.codes_of_ids(row[4:].tolist()) for row in out}
    assert found == {tuple(codes.codes[3].tolist()), tuple(codes.codes[17].tolist())}
    with pytest.raises(DataError, match="no item 'P99' in the catalogue of 20 items"):
        SidLogitsProcessor(constraint, ["P1", "P99"])
    with pytest.raises(DataError, match="no item is allowed"):
        SidLogitsProcessor(constraint, [])


def test_items_that_share_a_semantic_id(ids: list[str]) -> None:
    shared = ItemCodes(np.asarray([[0, 1], [0, 1], [1, 0]], dtype=np.int32), (2, 2), tie_level=False)
    names = SidVocabulary((2, 2), 10)
    constraint = SidConstraint.of(shared, ids[:3], names)
    for allow, codes_left in ((["P1"], {0}), (["P2"], {1}), (None, {0, 1})):
        alive = None if allow is None else torch.from_numpy(constraint.alive(allow))
        logits = constraint.mask_(torch.zeros((1, 18)), torch.tensor([constraint.tail([names.start_id])]), alive)
        assert {t - int(names.level_offsets[0]) for t in torch.nonzero(logits[0] == 0)[:, 0].tolist()} == codes_left


def test_retired_items_are_not_offered(tmp_path: Path) -> None:
    from tests.runs import make_run, retire

    run = make_run(tmp_path / "run")
    everything = SidConstraint.load(run.folder("train-full"))
    retire(run, ["P003", "P007"])
    fewer = SidConstraint.load(run.folder("train-full"))
    assert everything.offered is None and fewer.offered is not None
    for constraint, left in ((everything, 40), (fewer, 38)):
        assert constraint.alive(list(constraint.item_ids))[-1] == left
    names, sizes = fewer.vocabulary, fewer.vocabulary.sizes
    gone = storage.load_codes(run.folder("quantize")).codes[3]
    path = [names.start_id, *(gone[:-1] + names.level_offsets[:-1]).tolist()]
    logits = torch.zeros((1, names.last_id + 1))
    fewer.mask_(logits, torch.tensor([fewer.tail(path)]))
    assert logits[0, int(names.level_offsets[-1] + gone[-1])] == -torch.inf and len(sizes) == 4


@pytest.fixture
def folder(tmp_path: Path, codes: ItemCodes, ids: list[str]) -> Path:
    """A model folder with the codes of its catalogue in it."""
    make_tokenizer(SIZES).save(str(tmp_path / "tokenizer.json"))
    storage.save_codes(tmp_path, codes, ids)
    return tmp_path


@pytest.fixture
def served(folder: Path) -> tuple[PreTrainedModel, SidVocabulary]:
    first_id = make_tokenizer(SIZES).token_to_id("<|rec|>")
    names = SidVocabulary(SIZES, first_id)
    return tiny_qwen3(names.last_id + 4), names


def asked(names: SidVocabulary) -> list[engines.Asked]:
    """Of four: one with its semantic ID opened, one unconstrained, one with an allow-list, one that may also talk."""
    kinds: list[tuple[list[int], dict | None]] = [
        ([names.start_id], None),
        ([names.start_id], {"sid": 0}),
        ([names.start_id], {"sid_items": "P3, P17"}),
        ([], {}),
    ]
    lists = prompts(4, [5, 9, 1, 3, 6, 2, 8, 4])
    return [
        engines.Asked([*prompt, *kinds[i % 4][0]], engines.SamplingParams(kinds[i % 4][1]), steps=5 if i % 4 < 3 else 10)
        for i, prompt in enumerate(lists)
    ]


def check(requests: Sequence[engines.Asked], names: SidVocabulary, codes: ItemCodes) -> None:
    known = set(map(tuple, codes.codes.tolist()))
    assert all(len(request.output) >= 5 for request in requests)
    for i, request in enumerate(requests):
        found = sids([*request.prompt, *request.output], names)
        if i % 4 == 2:
            assert found[0] in {tuple(codes.codes[3].tolist()), tuple(codes.codes[17].tolist())}
        if i % 4 != 1:
            assert set(found) <= known and (i % 4 == 3 or len(found) >= 1)
    free = [sid for i, request in enumerate(requests) if i % 4 == 1 for sid in sids([*request.prompt, *request.output], names)]
    assert not set(free) <= known


@pytest.mark.parametrize("seed", range(2))
def test_vllm(monkeypatch: pytest.MonkeyPatch, folder: Path, served: tuple, codes: ItemCodes, seed: int) -> None:
    engines.install(monkeypatch)
    module = importlib.reload(importlib.import_module("sidrec.recommend.elsewhere.vllm"))
    model, names = served
    current, older = module.SidLogitsProcessor, module.V1SidLogitsProcessor
    assert issubclass(current, engines.V2LogitsProcessor) and issubclass(older, engines.V1LogitsProcessor)
    requests = asked(names)
    engines.run_v2(current, engines.config(str(folder)), model, requests, seed)
    check(requests, names, codes)
    requests = asked(names)
    processor = older(engines.config(str(folder)), torch.device("cpu"), False)
    assert not processor.is_argmax_invariant()
    engines.run_v1(processor, model, requests, seed)
    check(requests, names, codes)

    for extra in ({"sid": "yes"}, {"sid_items": 7}, {"sid_items": []}, {"sid_items": " , "}, {"sid_items": ["P1", 2]}):
        for kind in (current, older):
            with pytest.raises(ValueError, match="found"):
                kind.validate_params(engines.SamplingParams(extra))
    current.validate_params(engines.SamplingParams({"sid_items": ["P1"], "other": 1}))
    with pytest.raises(DataError, match="speculative decoding"):
        older(engines.config(str(folder), speculative=object()), torch.device("cpu"), False)


def test_vllm_with_an_allow_list_of_strangers_ends_the_semantic_id(
    monkeypatch: pytest.MonkeyPatch, folder: Path, served: tuple
) -> None:
    engines.install(monkeypatch)
    module = importlib.reload(importlib.import_module("sidrec.recommend.elsewhere.vllm"))
    model, names = served
    request = engines.Asked([names.start_id], engines.SamplingParams({"sid_items": "P99"}), steps=1)
    engines.run_v2(module.SidLogitsProcessor, engines.config(str(folder)), model, [request], 0)
    assert request.output == [names.end_id]


@torch.inference_mode()
def test_sglang(monkeypatch: pytest.MonkeyPatch, folder: Path, served: tuple, codes: ItemCodes) -> None:
    engines.install(monkeypatch)
    module = importlib.reload(importlib.import_module("sidrec.recommend.elsewhere.sglang"))
    processor = module.SidLogitProcessor()
    model, names = served
    requests = [r for i, r in enumerate(asked(names)) if i % 4 in (0, 2)]
    with pytest.raises(ConfigError, match="SIDREC_MODEL"):
        processor(torch.zeros(1, 4), [{}])
    monkeypatch.setenv("SIDREC_MODEL", str(folder))
    for _ in range(5):
        params: list[dict] = []
        for request in requests:
            req = SimpleNamespace(origin_input_ids=request.prompt, output_ids=request.output)
            extra = request.params.extra_args or {}
            items = [part.strip() for part in extra["sid_items"].split(",")] if extra else None
            params.append({"__req__": req, "sid_items": items})
        logits = processor(engines.logits_of(model, requests).clone(), params)
        for request, row in zip(requests, logits, strict=True):
            request.output.append(int(row.argmax()))
    known = set(map(tuple, codes.codes.tolist()))
    for request in requests:
        assert sids([*request.prompt, *request.output], names)[0] in known
    untouched = torch.ones(1, 4)
    assert processor(untouched, None) is untouched and (untouched == 1).all()


def test_where_the_codes_are(folder: Path, tmp_path: Path, codes: ItemCodes, monkeypatch: pytest.MonkeyPatch) -> None:
    assert SidConstraint.load(folder).trie.n_items == N
    run = tmp_path / "run"
    for name in ("6-model", "3-codes"):
        (run / name).mkdir(parents=True)
    make_tokenizer(SIZES).save(str(run / "6-model" / "tokenizer.json"))
    with pytest.raises(ArtifactError, match=r"no codes\.parquet in .*6-model or .*3-codes.*SIDREC_CODES"):
        SidConstraint.load(run / "6-model")
    storage.save_codes(run / "3-codes", codes, [f"P{i}" for i in range(N)])
    assert SidConstraint.load(run / "6-model").item_ids[3] == "P3"
    monkeypatch.setenv("SIDREC_CODES", str(folder))
    (run / "3-codes" / "codes.parquet").unlink()
    assert SidConstraint.load(run / "6-model").trie.n_items == N
    with pytest.raises(ArtifactError, match=r"no tokenizer\.json with the token <\|rec\|>"):
        SidConstraint.load(run)
    with pytest.raises(ArtifactError, match="level sizes"):
        SidConstraint.of(codes, [], SidVocabulary((5, 4), 10))


def test_the_modules_load_without_the_engines() -> None:
    for name, attribute in (("vllm", "SidLogitsProcessor"), ("vllm", "V1SidLogitsProcessor"), ("sglang", "SidLogitProcessor")):
        module = importlib.reload(importlib.import_module(f"sidrec.recommend.elsewhere.{name}"))
        vars(module).pop(attribute, None)  # left by another test
        with pytest.raises(ModuleNotFoundError, match=name):
            getattr(module, attribute)
        with pytest.raises(AttributeError, match="no attribute 'Other'"):
            _ = module.Other
