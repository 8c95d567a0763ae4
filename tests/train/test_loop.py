"""The loop: exact resume, signals, metrics, dropout, and what is refused."""

from __future__ import annotations

import hashlib
import importlib.util
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from transformers import PreTrainedModel

from sidrec.config import StageConfig
from sidrec.errors import SidrecError
from sidrec.train import TrainResult, train
from sidrec.train.checkpoint import Checkpoints
from sidrec.train.optim import make_optimizer
from tests.train.small import STAGE, conversations, tiny_model

torch.set_num_threads(1)
EVERY_STEP = 1e-9  # minutes between checkpoints


def run(
    workspace: Path, *, stage: StageConfig = STAGE, on_step: Callable[[int], None] | None = None, **options: str
) -> tuple[PreTrainedModel, TrainResult]:
    model = tiny_model()
    settings: dict[str, str] = {"stage_name": "train-full", "fingerprint": "one", **options}
    result = train(
        model, conversations(), conversations(5, seed=9), stage, workspace=workspace, seed=0, on_step=on_step,
        **settings,  # type: ignore[arg-type]
    )  # fmt: skip
    return model, result


def equal(one: PreTrainedModel, two: PreTrainedModel) -> bool:
    return all(torch.equal(a, b) for a, b in zip(one.parameters(), two.parameters(), strict=True))


def stop_after(step: int) -> Callable[[int], None]:
    def stop(finished: int) -> None:
        if finished == step:
            raise KeyboardInterrupt

    return stop


def lines(workspace: Path) -> list[dict[str, float]]:
    return [json.loads(line) for line in (workspace / "metrics.jsonl").read_text().splitlines()]


@pytest.mark.parametrize("compute", ["float32", "bfloat16"])
@pytest.mark.parametrize("stopped", [1, 3, 5, 6])
def test_interrupted_and_continued_ends_in_the_same_bits(tmp_path: Path, stopped: int, compute: str) -> None:
    stage = STAGE.model_copy(update={"dropout": 0.2, "valid_every": 2})
    whole, expected = run(tmp_path / "whole", stage=stage, compute=compute)
    with pytest.raises(KeyboardInterrupt):
        run(tmp_path / "killed", stage=stage, compute=compute, on_step=stop_after(stopped))
    again, result = run(tmp_path / "killed", stage=stage, compute=compute)
    assert result.resumed_from == stopped and (result.steps, result.tokens) == (expected.steps, expected.tokens)
    assert equal(whole, again)
    assert (result.loss, result.valid_loss) == (expected.loss, expected.valid_loss)
    kept = ("stage", "step", "loss", "learning_rate", "tokens", "gradient_norm", "valid_loss")
    rows = [[{key: row[key] for key in kept} for row in lines(tmp_path / name)] for name in ("whole", "killed")]
    assert rows[0] == rows[1]
    assert [row["step"] for row in rows[0]] == [1, 2, 3, 4, 5, 6]
    assert [row["valid_loss"] is not None for row in rows[0]] == [False, True, False, True, False, True]


def test_many_interruptions(tmp_path: Path) -> None:
    whole, _ = run(tmp_path / "whole")
    for stopped in (1, 2, 3, 4):
        with pytest.raises(KeyboardInterrupt):
            run(tmp_path / "killed", on_step=stop_after(stopped))
    assert equal(whole, run(tmp_path / "killed")[0])


def test_training_lowers_the_loss_and_leaves_nothing_in_the_model(tmp_path: Path) -> None:
    stage = STAGE.model_copy(update={"steps": 40, "dropout": 0.1, "gradient_checkpointing": True})
    random_state = torch.get_rng_state()
    model, result = run(tmp_path, stage=stage)
    assert torch.equal(torch.get_rng_state(), random_state)
    rows = lines(tmp_path)
    assert result.loss == rows[-1]["loss"] < 0.8 * rows[0]["loss"]
    assert result.valid_loss == rows[-1]["valid_loss"]
    assert rows[-1]["learning_rate"] == pytest.approx(0.2 * stage.learning_rate)
    assert rows[-1]["tokens"] == result.tokens and rows[-1]["tokens_per_second"] > 0
    assert not any(module._forward_hooks or module._forward_pre_hooks for module in model.modules())
    assert not any(getattr(module, "gradient_checkpointing", False) for module in model.modules())
    assert all(p.grad is None for p in model.parameters())
    assert model.config._attn_implementation == "sdpa" and model.training  # as transformers made it


def test_another_fingerprint_is_never_continued(tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt):
        run(tmp_path, on_step=stop_after(3), fingerprint="smoke test")
    model, result = run(tmp_path, fingerprint="the real run")
    assert result.resumed_from == 0
    assert equal(model, run(tmp_path / "fresh")[0])


@pytest.mark.parametrize("file", ["parameters.safetensors", "optimizer.safetensors", "state.json", "manifest.json"])
@pytest.mark.parametrize("damage", ["torn", "missing"])
def test_a_damaged_checkpoint_is_named_and_the_one_before_used(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], file: str, damage: str
) -> None:
    stage = STAGE.model_copy(update={"checkpoint_minutes": EVERY_STEP})
    with pytest.raises(KeyboardInterrupt):
        run(tmp_path / "killed", stage=stage, on_step=stop_after(4))
    newest = tmp_path / "killed" / "checkpoints" / "step-00000004" / file
    if damage == "missing":
        newest.unlink()
    else:
        newest.write_bytes(newest.read_bytes()[:-3])
    capsys.readouterr()
    model, result = run(tmp_path / "killed", stage=stage)
    said = capsys.readouterr().err
    assert "warning: the checkpoint" in said and "step-00000004" in said and file in said
    assert result.resumed_from == 3
    assert equal(model, run(tmp_path / "whole", stage=stage)[0])


def test_the_newest_checkpoints_are_kept(tmp_path: Path) -> None:
    run(tmp_path, stage=STAGE.model_copy(update={"checkpoint_minutes": EVERY_STEP, "keep_checkpoints": 3}))
    found = sorted(path.name for path in (tmp_path / "checkpoints").iterdir())
    assert found == ["step-00000004", "step-00000005", "step-00000006"]


def test_an_unfinished_checkpoint_is_not_one(tmp_path: Path) -> None:
    unfinished = tmp_path / "checkpoints" / "step-00000005.unfinished"
    unfinished.mkdir(parents=True)
    _, result = run(tmp_path)
    assert result.resumed_from == 0 and not unfinished.exists()


def test_checkpoints_hold_no_pickle(tmp_path: Path) -> None:
    run(tmp_path)
    files = {path.suffix for path in (tmp_path / "checkpoints").rglob("*") if path.is_file()}
    assert files == {".safetensors", ".json"}


def test_a_loss_that_is_no_number_stops_with_stage_and_step(tmp_path: Path) -> None:
    def poison(finished: int) -> None:
        if finished == 4:
            with torch.no_grad():
                model.lm_head.weight[0, 0] = float("nan")

    model = tiny_model()
    stage = STAGE.model_copy(update={"checkpoint_minutes": 60})
    with pytest.raises(KeyboardInterrupt):
        run(tmp_path, stage=stage, on_step=stop_after(2))
    with pytest.raises(SidrecError, match=r"train-full: the loss became nan .* at step 5; .* Lower learning_rate"):
        train(
            model, conversations(), None, stage, stage_name="train-full", workspace=tmp_path, seed=0,
            fingerprint="one", on_step=poison,
        )  # fmt: skip
    assert [path.name for path in (tmp_path / "checkpoints").iterdir()] == ["step-00000002"]
    model, result = run(tmp_path, stage=stage)
    assert result.resumed_from == 2 and torch.isfinite(model.lm_head.weight).all()


@pytest.mark.parametrize(("number", "error"), [(signal.SIGINT, KeyboardInterrupt), (signal.SIGTERM, SystemExit)])
def test_signals_finish_the_step_save_and_stop(tmp_path: Path, number: signal.Signals, error: type[BaseException]) -> None:
    before = signal.getsignal(number)

    def send(finished: int) -> None:
        if finished == 2:
            os.kill(os.getpid(), number)

    with pytest.raises(error):
        run(tmp_path, on_step=send)
    assert signal.getsignal(number) is before
    model, result = run(tmp_path)
    assert result.resumed_from == 2
    assert equal(model, run(tmp_path / "whole")[0])


def test_dropout_is_the_same_when_layers_are_recomputed(tmp_path: Path) -> None:
    stage = STAGE.model_copy(update={"dropout": 0.3})
    plain, _ = run(tmp_path / "plain", stage=stage)
    recomputed, _ = run(tmp_path / "recomputed", stage=stage.model_copy(update={"gradient_checkpointing": True}))
    without, _ = run(tmp_path / "without")
    assert all(torch.allclose(a, b, atol=1e-5) for a, b in zip(plain.parameters(), recomputed.parameters(), strict=True))
    assert not equal(plain, without)


def test_the_seed_decides_everything(tmp_path: Path) -> None:
    stage = STAGE.model_copy(update={"dropout": 0.3})
    assert equal(run(tmp_path / "one", stage=stage)[0], run(tmp_path / "two", stage=stage)[0])
    other = tiny_model()
    train(other, conversations(), None, stage, stage_name="train-full", workspace=tmp_path / "x", seed=1, fingerprint="f")
    assert not equal(run(tmp_path / "three", stage=stage)[0], other)


def test_a_checkpoint_of_other_tensors_is_no_silent_match(tmp_path: Path) -> None:
    run(tmp_path)
    other = tiny_model(layers=1)
    parameters = dict(other.named_parameters())
    with pytest.raises(RuntimeError, match="other tensors"):
        Checkpoints(tmp_path, "one", 2).restore(parameters, make_optimizer(parameters.values(), STAGE))


@pytest.mark.slow
@pytest.mark.skipif(importlib.util.find_spec("torchao") is None, reason="torchao is not installed")
@pytest.mark.filterwarnings("ignore")  # torch.compile's own
def test_8_bit_adamw_with_stochastic_rounding_continues_exactly(tmp_path: Path) -> None:
    """bfloat16 masters; the embedding is big enough (4,096 values) that torchao quantises its state."""
    stage = STAGE.model_copy(update={"optimizer": "adamw8bit", "checkpoint_minutes": EVERY_STEP})

    def once(workspace: Path, on_step: Callable[[int], None] | None = None) -> PreTrainedModel:
        model = tiny_model(vocabulary=256).to(torch.bfloat16)
        train(
            model, conversations(vocabulary=256), None, stage, stage_name="s", workspace=workspace, seed=0,
            fingerprint="f", on_step=on_step,
        )  # fmt: skip
        return model

    whole = once(tmp_path / "whole")
    with pytest.raises(KeyboardInterrupt):
        once(tmp_path / "killed", stop_after(3))
    names = load_file(tmp_path / "killed" / "checkpoints" / "step-00000003" / "optimizer.safetensors").keys()
    assert {"model.embed_tokens.weight/exp_avg/codes", "model.embed_tokens.weight/exp_avg/scale"} <= names
    assert equal(whole, once(tmp_path / "killed"))


SCRIPT = """
import sys
from pathlib import Path
import torch
from safetensors.torch import save_file
from sidrec.train import train
from tests.train.small import STAGE, conversations, tiny_model
torch.set_num_threads(1)
folder = Path(sys.argv[1])
stage = STAGE.model_copy(update={"steps": 60, "dropout": 0.1, "checkpoint_minutes": 1e-9})
model = tiny_model()
train(model, conversations(), None, stage, stage_name="s", workspace=folder, seed=0, fingerprint="f", compute=sys.argv[2],
      on_step=lambda step: print(step, flush=True))
save_file({n: p.detach() for n, p in model.named_parameters()}, folder / "end.safetensors")
"""


@pytest.mark.slow
@pytest.mark.parametrize("compute", ["float32", "bfloat16"])
def test_kill_9_and_continue_ends_in_the_same_bytes(tmp_path: Path, compute: str) -> None:
    root = Path(__file__).parents[2]

    def start(folder: Path) -> subprocess.Popen[str]:
        arguments = [sys.executable, "-c", SCRIPT, str(folder), compute]
        return subprocess.Popen(arguments, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, cwd=root)

    for wait in (7, 23, 41):
        with start(tmp_path / "killed") as process:
            assert process.stdout is not None
            for line in process.stdout:
                if int(line) >= wait:
                    time.sleep(0.003 * (wait % 5))  # land inside a step or a checkpoint
                    process.send_signal(signal.SIGKILL)
                    break
            process.stdout.read()
        assert process.returncode == -signal.SIGKILL
    for name in ("killed", "whole"):
        with start(tmp_path / name) as process:
            process.communicate()
        assert process.returncode == 0
    digests = {hashlib.sha256((tmp_path / name / "end.safetensors").read_bytes()).hexdigest() for name in ("killed", "whole")}
    assert len(digests) == 1
