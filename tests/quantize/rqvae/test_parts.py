"""The pieces of an RQ-VAE, each against what can be computed by hand."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from sidrec.config import RqVaeConfig
from sidrec.quantize.rqvae.checkpoint import Checkpoint
from sidrec.quantize.rqvae.codebooks import revive, start_codebooks
from sidrec.quantize.rqvae.companions import Companions, contrastive_loss
from sidrec.quantize.rqvae.fit import learning_rate
from sidrec.quantize.rqvae.gradient import rotation, straight_through, turn
from sidrec.quantize.rqvae.losses import masked
from sidrec.quantize.rqvae.network import Network, hidden_widths


def gradient(latent: torch.Tensor, quantized: torch.Tensor, upstream: torch.Tensor) -> torch.Tensor:
    leaf = latent.clone().requires_grad_()
    out = turn(leaf, quantized)
    assert torch.allclose(out, quantized, atol=1e-5)
    out.backward(upstream)
    assert leaf.grad is not None
    return leaf.grad


def test_the_gradient_turns_with_the_vectors() -> None:
    """From (3, 0) to (0, 6): a quarter turn to the left and twice the length. Back: a quarter to the right, twice as long."""
    found = gradient(torch.tensor([[3.0, 0.0]]), torch.tensor([[0.0, 6.0]]), torch.tensor([[1.0, 5.0]]))
    assert torch.allclose(found, torch.tensor([[10.0, -2.0]]))


def test_a_code_straight_ahead_only_stretches_the_gradient() -> None:
    found = gradient(torch.tensor([[1.0, 2.0]]), torch.tensor([[1.5, 3.0]]), torch.tensor([[0.3, -0.7]]))
    assert torch.allclose(found, 1.5 * torch.tensor([[0.3, -0.7]]), atol=1e-6)


@pytest.mark.parametrize(
    ("latent", "quantized"), [([1.0, 0.0], [-2.0, 0.0]), ([0.0, 0.0], [1.0, 1.0]), ([1.0, 1.0], [0.0, 0.0])]
)
def test_where_no_rotation_exists_the_gradient_goes_straight_through(latent: list[float], quantized: list[float]) -> None:
    found = gradient(torch.tensor([latent]), torch.tensor([quantized]), torch.tensor([[0.3, -0.7]]))
    assert torch.equal(found, torch.tensor([[0.3, -0.7]]))


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 10_000))
def test_what_the_rotation_keeps(seed: int) -> None:
    """The angle between gradient and quantized vector becomes that to the latent one; lengths scale by the ratio; what is
    orthogonal to both stays in place."""
    generator = torch.Generator().manual_seed(seed)
    latent, quantized, upstream = (torch.randn(1, 6, generator=generator, dtype=torch.float64) for _ in range(3))
    found = gradient(latent, quantized, upstream)
    ratio = quantized.norm() / latent.norm()
    assert torch.allclose(found.norm(), ratio * upstream.norm())
    assert torch.allclose(torch.cosine_similarity(found, latent), torch.cosine_similarity(upstream, quantized), atol=1e-6)
    basis = torch.linalg.qr(torch.cat((latent, quantized)).T, mode="complete").Q
    outside = basis[:, 2:3].T
    assert torch.allclose(gradient(latent, quantized, outside), ratio * outside, atol=1e-6)


def test_straight_through_is_the_identity_backwards() -> None:
    latent, sums = torch.randn(4, 3, requires_grad=True), torch.zeros(2, 4, 3)
    out = straight_through(latent, sums)
    out[1].backward(torch.ones(4, 3))
    assert latent.grad is not None and torch.equal(latent.grad, torch.ones(4, 3)) and torch.equal(out, sums)


def test_each_level_read_turns_the_gradient_to_the_sum_reached_there() -> None:
    """(3, 1) reaches (3, 0) at A and (3, 2) at B, one to the right of it and one to the left."""
    latent = torch.tensor([[3.0, 1.0]], requires_grad=True)
    sums = torch.tensor([[[3.0, 0.0]], [[3.0, 2.0]]])
    out = rotation(latent, sums)
    assert torch.allclose(out, sums, atol=1e-6)
    upstream = torch.tensor([[1.0, 4.0]])
    for level in (0, 1):
        (found,) = torch.autograd.grad(out[level], latent, upstream, retain_graph=True)
        assert torch.allclose(found, gradient(latent.detach(), sums[level], upstream))
    assert not torch.allclose(*(torch.autograd.grad(out[i], latent, upstream, retain_graph=True)[0] for i in (0, 1)))


def test_quantize_by_hand() -> None:
    """(1.9, 0): A's nearest is (2, 0), which leaves (-0.1, 0); B's nearest is (0, 0), which leaves it there."""
    network = Network(3, (4,), 2, (2, 2), seed=0)
    with torch.no_grad():
        network.codebooks[0].copy_(torch.tensor([[0.0, 0.0], [2.0, 0.0]]))
        network.codebooks[1].copy_(torch.tensor([[0.0, 0.0], [0.0, 1.0]]))
    latent = torch.tensor([[1.9, 0.0]], requires_grad=True)
    found = network.quantize(latent)
    assert found.codes.tolist() == [[1, 0]]
    assert found.sums_LBC.tolist() == [[[2.0, 0.0]], [[2.0, 0.0]]] and not found.sums_LBC.requires_grad
    assert found.codebook_B.item() == pytest.approx(2 * 0.01 / 2, abs=1e-6)
    found.commitment_B.sum().backward()
    assert latent.grad is not None and torch.allclose(latent.grad, torch.tensor([[-0.2, 0.0]]), atol=1e-6)  # towards (2, 0)
    assert network.codebooks[0].grad is None
    network.quantize(latent).codebook_B.sum().backward()
    table = network.codebooks[0].grad
    assert table is not None and torch.allclose(table, torch.tensor([[0.0, 0.0], [0.1, 0.0]]), atol=1e-6)


def test_widths_follow_the_reference() -> None:
    network = Network(1024, hidden_widths(1024, 32), 32, (256,) * 3, seed=0)
    assert [layer.out_features for layer in network.encoder.layers] == [512, 256, 128, 32]  # type: ignore[union-attr]
    assert [layer.out_features for layer in network.decoder.layers] == [128, 256, 512, 1024]  # type: ignore[union-attr]


def make_network(rows: torch.Tensor, sizes: tuple[int, ...]) -> tuple[Network, torch.optim.Optimizer]:
    network = Network(rows.shape[1], (16,), 4, sizes, seed=1)
    optimizer = torch.optim.AdamW(network.parameters(), lr=1e-3)
    network.decode(network.encode(rows)).square().mean().backward()
    for table in network.codebooks:
        table.grad = torch.ones_like(table)
    optimizer.step()
    return network, optimizer


def test_the_start_centres_the_latent_and_changes_no_reconstruction() -> None:
    rows = torch.randn(500, 8, generator=torch.Generator().manual_seed(0)) + 3
    network, optimizer = make_network(rows, (16, 8))
    with torch.no_grad():
        before = network.decode(network.encode(rows))
        start_codebooks(network, optimizer, lambda items: rows[torch.from_numpy(items)], np.arange(500), 0)
        latent = network.encode(rows)
        assert torch.allclose(network.decode(latent), before, atol=1e-4)
        assert latent.mean(0).abs().max() < 1e-4
        assert latent.var(0, unbiased=False).mean().item() == pytest.approx(1, abs=1e-3)
        codes = network.quantize(latent).codes
    assert [len(codes[:, level].unique()) for level in (0, 1)] == [16, 8]
    assert not optimizer.state[network.codebooks[0]]["exp_avg"].any()


def test_dead_codes_come_back_where_the_crowd_is_and_used_ones_stay() -> None:
    rows = torch.randn(200, 8, generator=torch.Generator().manual_seed(0))
    network, optimizer = make_network(rows, (6,))
    table = network.codebooks[0]
    with torch.no_grad():
        table.fill_(1e3)  # nobody's
        table[:2] = network.encode(rows)[:2]
    used = torch.bincount(network.quantize(network.encode(rows)).codes[:, 0], minlength=6)
    old = table.detach().clone()
    moved = revive(network, optimizer, rows, [used], 0.0, np.random.default_rng(0))
    assert moved == 4 and torch.equal(table[:2], old[:2])
    assert len(network.quantize(network.encode(rows)).codes[:, 0].unique()) == 6
    assert not optimizer.state[table]["exp_avg"][2:].any() and optimizer.state[table]["exp_avg"][:2].any()


def test_companions_are_drawn_by_how_often_they_were_bought_together() -> None:
    histories = [np.array(h, np.int32) for h in ([0, 1], [1, 0], [0, 1], [0, 2], [4])]
    companions = Companions.of(histories, 6)
    drawn = companions.draw(np.zeros(4000, np.int64), np.random.default_rng(0))
    assert set(drawn.tolist()) == {1, 2}
    assert (drawn == 1).mean() == pytest.approx(3 / 4, abs=0.03)
    assert companions.draw(np.array([2, 3, 4, 5]), np.random.default_rng(0)).tolist() == [0, -1, -1, -1]


def test_no_companions_at_all() -> None:
    assert Companions.of([], 3).draw(np.arange(3), np.random.default_rng(0)).tolist() == [-1, -1, -1]


def test_infonce_by_hand_and_without_false_negatives() -> None:
    """Two pairs, each alike within and orthogonal across: log(1 + exp(-1 / t)). Items that repeat are no negatives."""
    first, second = torch.eye(2), 3 * torch.eye(2)
    loss = contrastive_loss(first, second, np.array([0, 1]), np.array([2, 3]), 0.5)
    assert loss.item() == pytest.approx(np.log1p(np.exp(-2)), abs=1e-5)
    for items, partners in (([0, 0], [2, 3]), ([0, 1], [2, 2])):
        assert contrastive_loss(first, second, np.array(items), np.array(partners), 0.5).item() == pytest.approx(0, abs=1e-6)


def test_masks_cut_the_share_asked_for_and_each_length_alike() -> None:
    last = masked(30_000, 3, 0.4, np.random.default_rng(0))
    assert np.bincount(last) / 30_000 == pytest.approx([0.2, 0.2, 0.6], abs=0.02)
    assert (masked(10, 3, 0.0, np.random.default_rng(0)) == 2).all()


def test_the_rate_rises_falls_and_ends_low() -> None:
    config = RqVaeConfig(learning_rate=1e-3, min_learning_rate=1e-6, warmup_steps=10)
    rates = [learning_rate(step, 1000, config) for step in range(1000)]
    assert rates[0] == pytest.approx(1e-4) and max(rates) == rates[9] == rates[10] == 1e-3
    assert rates[10:] == sorted(rates[10:], reverse=True) and rates[-1] == pytest.approx(1e-6, rel=0.02)


def test_a_checkpoint_is_whole_its_own_or_ignored(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    tensors = {"a": torch.arange(3.0)}
    mine = Checkpoint(tmp_path, "mine")
    assert mine.restore(tensors) is None
    mine.save(tensors, {"epoch": 3})
    target = {"a": torch.zeros(3)}
    assert mine.restore(target) == {"epoch": 3} and target["a"].tolist() == [0, 1, 2]
    assert Checkpoint(tmp_path, "another").restore(target) is None
    assert "damaged" not in capsys.readouterr().err
    mine.path.write_bytes(mine.path.read_bytes()[:-3])
    assert mine.restore(target) is None
    assert "damaged" in " ".join(capsys.readouterr().err.split())
