"""Semantic IDs for a run: learned, measured, shown and judged before anything is trained on them."""

from __future__ import annotations

import json
from pathlib import Path

from sidrec import columns as c
from sidrec import storage
from sidrec.artifacts import write_file, write_json
from sidrec.catalogue.keep import Kept, carried
from sidrec.log import say, warn
from sidrec.pipeline import Run
from sidrec.quantize import Registry, gate, quantize, rebuild, text_fingerprints
from sidrec.quantize.page import health_files
from sidrec.quantize.tables import summary
from sidrec.types import Corpus

_LEARNED = ".learned"  # in the working folder: the codes are made, only the page and the gate are left


def assign(run: Run, earlier: Kept | None, folder: Path) -> None:
    """Write codes, quantizer, ``health.json``, ``health.html`` and its pictures into ``folder``; then pass the gate.

    ``earlier`` is the codebook to keep, if there is one (``quantize.keep``).

    Where the gate stops a run, all of it stays in ``folder`` to be looked at, and a run with another gate goes on from there.

    Raises:
        QualityError: the codes are too poor for ``quantize.gate``.
    """
    corpus = storage.load_corpus(run.folder("ingest"))
    if not (folder / _LEARNED).exists():
        _learn(run, earlier, corpus, folder)
        write_file(folder / _LEARNED, b"")
    codes = storage.load_codes(folder)
    health = json.loads((folder / "health.json").read_bytes())
    titles = corpus.items[c.TITLE].to_list()
    for name, data in health_files(codes, titles, health, run.config.quantize, run.config.name).items():
        (folder / name).parent.mkdir(exist_ok=True)
        write_file(folder / name, data)
    for line in summary(health, gate.checks(health, run.config.quantize)):
        say(f"  {line}")
    pass_gate(run, folder)
    say(f"  the page: {run.folder('quantize') / 'health.html'}")


def pass_gate(run: Run, folder: Path) -> None:
    """Judge the ``health.json`` in ``folder`` by the run's gate.

    Raises:
        QualityError: see ``gate.enforce``.
    """
    health, config = json.loads((folder / "health.json").read_bytes()), run.config.quantize
    # Codes that are stopped stay in the working folder; those that pass, with a warning or not, leave it in a moment.
    page = (folder if config.gate.action == "stop" else run.folder("quantize")) / "health.html"
    warning = gate.enforce(gate.checks(health, config), config, page)
    if warning:
        warn(warning)


def _learn(run: Run, earlier: Kept | None, corpus: Corpus, folder: Path) -> None:
    vectors = storage.load_vectors(run.folder("embed"))
    item_ids, texts = corpus.items[c.ITEM_ID].to_list(), text_fingerprints(corpus.items)
    histories = corpus.histories_until("train")
    categories = [" > ".join(path) for path in corpus.items[c.CATEGORY].to_list()]
    config, seed = run.config.quantize, run.config.seed
    given = storage.load_given(run.folder("embed"), run.config.embed.given)
    if earlier is None:
        made = quantize(vectors, item_ids, corpus.cold, histories, config, seed, folder, categories, given)
        registry = Registry.first(item_ids, made.codes, texts, made.residual)
    else:
        before = earlier.registry()
        made, registry = rebuild(
            earlier.codebook(), before, vectors, item_ids, texts, histories, config, seed, categories, given
        )  # fmt: skip
        carried(registry, before)
    storage.save_codes(folder, made.codes, item_ids)
    registry.save(folder / "registry.parquet")
    made.fusion.save(folder / "fusion.safetensors")
    made.quantizer.save(folder / "quantizer.safetensors")
    write_json(folder / "health.json", made.health)
