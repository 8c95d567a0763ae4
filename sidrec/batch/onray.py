"""The work of ``workers.py`` on the machines of a Ray cluster, by Ray Data (extra ``ray``).

Ray Data hands out numbers and says which are done; what the work makes, it leaves in the run's folder. So every machine must
see that folder under the same path (a shared file system), and have sidrec installed.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator, Sequence
from typing import Any

from sidrec.batch.workers import ONE_THREAD, Opener, error_again, error_parts
from sidrec.errors import ArtifactError, MissingExtraError, SidrecError


class _Actor:
    """Opens the work in the actor's own process. A user's mistake travels as text, since Ray would wrap it in a traceback."""

    def __init__(self, opener: Opener) -> None:
        self._error: SidrecError | None = None
        try:
            self._work = opener(0)  # Ray shows each actor only the GPU that is its own
        except SidrecError as error:
            self._error = error

    def __call__(self, row: dict[str, Any]) -> dict[str, Any]:
        task = int(row["task"])
        try:
            if self._error is not None:
                raise self._error
            self._work(task)
        except SidrecError as error:
            kind, text = error_parts(error)
            return {"task": task, "kind": kind, "text": text}
        return {"task": task, "kind": "", "text": ""}


def on_ray(opener: Opener, tasks: Sequence[int], count: int, gpus: bool = False) -> Iterator[int]:
    """``count`` actors share the tasks; each number comes back when it is done.

    With ``gpus`` they also share the cluster's GPUs, if it has any: one each, or a part of one. Uses the cluster that
    ``RAY_ADDRESS`` names, or one that runs here, else starts one on this machine. Ray's usage statistics are switched off.

    Raises:
        MissingExtraError: Ray is not installed.
        ArtifactError: an actor or a machine died more often than Ray tries again.
        SidrecError: whatever the work raised of that kind.
    """
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    try:
        import ray
        import ray.data
    except ImportError:
        raise MissingExtraError("ray[data]", "ray", "--engine ray") from None
    if not tasks:
        return
    started = not ray.is_initialized()
    if started:
        ray.init(
            include_dashboard=False, log_to_driver=False, logging_level=logging.ERROR,
            runtime_env={"env_vars": dict.fromkeys(ONE_THREAD, "1")},
        )  # fmt: skip
    context = ray.data.DataContext.get_current()
    context.enable_progress_bars = False
    logging.getLogger("ray.data").setLevel(logging.ERROR)
    try:
        rows = ray.data.from_items([{"task": task} for task in tasks], override_num_blocks=len(tasks))
        actors = ray.data.ActorPoolStrategy(size=min(count, len(tasks)))
        actor: Any = _Actor  # Ray takes a class where its signature says a function
        there: dict[str, float] = ray.cluster_resources()  # type: ignore[no-untyped-call, unused-ignore]
        gpu = min(1.0, there.get("GPU", 0.0) / count) if gpus else 0.0
        for row in rows.map(actor, fn_constructor_args=(opener,), compute=actors, num_cpus=1, num_gpus=gpu).iter_rows():
            if row["kind"]:
                raise error_again(row["kind"], row["text"])
            yield int(row["task"])
    except ray.exceptions.RayError as error:
        reason = str(error).strip().splitlines()[-1]
        raise ArtifactError(f"Ray gave up ({reason}); finished parts are kept: run the same command again to go on") from error
    finally:
        if started:
            ray.shutdown()
