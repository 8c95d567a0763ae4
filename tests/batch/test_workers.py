"""Work shared by processes: light work here, so that only the sharing is tested."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest

from sidrec.batch.workers import error_again, error_parts, in_processes, in_this_process
from sidrec.errors import ArtifactError, DataError, MissingExtraError


def opener(folder: Path, worker: int) -> Callable[[int], None]:
    (folder / f"opened-{worker}").touch(exist_ok=False)
    return partial(work, folder)


def work(folder: Path, task: int) -> None:
    if task == 90:
        raise DataError("ninety is bad")
    if task == 91:
        raise ValueError("a fault of ours")
    if task == 92:
        os.kill(os.getpid(), signal.SIGKILL)
    if task == 93:
        sys.exit(7)
    assert os.environ["OMP_NUM_THREADS"] == "1"
    (folder / f"done-{task}").write_text(str(os.getpid()))
    time.sleep(0.02)


def test_each_task_once_and_each_worker_opened_once(tmp_path: Path) -> None:
    before = dict(os.environ)
    assert sorted(in_processes(partial(opener, tmp_path), range(9), 2)) == list(range(9))
    assert os.environ == before
    assert sorted(path.name for path in tmp_path.glob("opened-*")) == ["opened-0", "opened-1"]
    assert os.getpid() not in {int(path.read_text()) for path in tmp_path.glob("done-*")}
    assert list(in_processes(partial(opener, tmp_path), [], 2)) == []


@pytest.mark.parametrize(
    ("task", "error", "sentence"),
    [
        (90, DataError, "^ninety is bad$"),
        (91, RuntimeError, "(?s)a worker failed.*ValueError: a fault of ours"),
        (92, ArtifactError, "signal SIGKILL; SIGKILL often means that memory ran out.*run the same command again"),
        (93, ArtifactError, "exit code 7.*finished parts are kept"),
    ],
)
def test_a_failure_is_raised_once_the_others_have_ended_their_task(
    tmp_path: Path, task: int, error: type[Exception], sentence: str
) -> None:
    with pytest.raises(error, match=sentence):
        list(in_processes(partial(opener, tmp_path), [1, task, *range(2, 40)], 2))
    assert 1 <= len(list(tmp_path.glob("done-*"))) < 39


def test_a_worker_that_dies_between_two_tasks_is_missed(tmp_path: Path) -> None:
    done = in_processes(partial(opener, tmp_path), range(9), 1)
    pid = int((tmp_path / f"done-{next(done)}").read_text())
    os.kill(pid, signal.SIGKILL)
    os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT)
    with pytest.raises(ArtifactError, match="signal SIGKILL"):
        list(done)


def test_a_killed_parent_takes_its_workers_along(tmp_path: Path) -> None:
    program = (
        "from functools import partial; from pathlib import Path; import sys\n"
        "from tests.batch.test_workers import slow_opener\nfrom sidrec.batch.workers import in_processes\n"
        "if __name__ == '__main__': list(in_processes(partial(slow_opener, Path(sys.argv[1])), range(100), 2))\n"
    )
    (tmp_path / "main.py").write_text(program)
    root = Path(__file__).parents[2]
    parent = subprocess.Popen([sys.executable, tmp_path / "main.py", tmp_path], env=os.environ | {"PYTHONPATH": str(root)})
    deadline = time.monotonic() + 60
    while len(list(tmp_path.glob("pid-*"))) < 2 and time.monotonic() < deadline:
        time.sleep(0.05)
    pids = [int(path.name.removeprefix("pid-")) for path in tmp_path.glob("pid-*")]
    assert len(pids) == 2
    parent.kill()
    parent.wait()
    while any(alive(pid) for pid in pids) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not any(alive(pid) for pid in pids)


def slow_opener(folder: Path, worker: int) -> Callable[[int], None]:
    (folder / f"pid-{os.getpid()}").touch()
    return lambda task: time.sleep(30)


def alive(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except FileNotFoundError:
        return False
    return state != "Z"


def test_in_this_process(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    assert list(in_this_process(partial(opener, tmp_path), [3, 1])) == [3, 1]


def test_errors_travel_whole() -> None:
    again = error_again(*error_parts(MissingExtraError("ray[data]", "ray", "--engine ray")))
    assert isinstance(again, MissingExtraError) and "pip install 'sidrec[ray]'" in str(again)
