"""The corridor: the whole journey from a catalogue and a purchase log to a report, in order. Read this first.

Each stage is one short function: it opens the artefacts it needs, hands plain values to its room, and stores what comes
back. A stage whose config and inputs are unchanged is skipped; a killed one goes on where it can. Rooms are imported
inside the functions, so that ``sidrec --help`` does not wait for torch.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sidrec import columns as c
from sidrec import storage
from sidrec.artifacts import STAGES, Ticket, finished, hash_file, locked, verified_manifest, write_file, write_json, writing
from sidrec.config import RunConfig
from sidrec.errors import ArtifactError
from sidrec.log import quiet_transformers, say, timed, warn
from sidrec.render import Renderer
from sidrec.types import Conversation
from sidrec.vocabulary import REC, SidVocabulary

if TYPE_CHECKING:
    from tokenizers import Tokenizer

    from sidrec.batch.scoring import Batch

CONFIG_FILE = "config.json"
_TOKENIZER_ROWS = 20_000  # conversations of each task that the tiny model's tokenizer is trained on


@dataclass(frozen=True, slots=True)
class Run:
    """A run: its folder and its config."""

    path: Path
    config: RunConfig

    @classmethod
    def open(cls, path: Path) -> Run:
        """A run that exists, with the config it was made with.

        Raises:
            ArtifactError: the folder is no run.
        """
        file = path / CONFIG_FILE
        if not file.is_file():
            raise ArtifactError(
                f"{path} is not the folder of a run (no {CONFIG_FILE}): `sidrec run --config FILE --run {path}`"
            )
        return cls(path, RunConfig.model_validate_json(file.read_bytes()))

    def folder(self, command: str) -> Path:
        """Where the artefact of a stage lies."""
        return self.path / STAGES[command].folder

    def checked(self, command: str) -> Path:
        """The same, once its files have been checked against their hashes."""
        verified_manifest(self.path, command)
        return self.folder(command)


def run_all(run: Run) -> None:
    """Every stage, in order."""
    for stage in STAGE_FUNCTIONS.values():
        stage(run)


def ingest(run: Run) -> None:
    """Read, clean, filter and split the shop's tables -> ``1-corpus``."""
    from sidrec.ingest import ingest, source_files

    config = run.config.ingest

    def make(folder: Path) -> None:
        corpus = ingest(config, run.config.seed)
        storage.save_corpus(folder, corpus)
        purchases = int(corpus.histories[c.ITEMS].list.len().sum())
        say(f"  {corpus.n_items:,} items, {corpus.histories.height:,} users, {purchases:,} purchases")
        say(f"  {corpus.dropped.height:,} rows left out: {_counted(corpus.dropped[c.REASON].to_list())}")

    _stage(run, "ingest", config.model_dump(mode="json"), make, {path.name: hash_file(path) for path in source_files(config)})


def embed(run: Run) -> None:
    """Item text to unit vectors -> ``2-vectors``."""
    from sidrec import vectors

    settings = run.config.embed.model_dump(mode="json")
    _stage(run, "embed", settings, lambda folder: vectors.write_vectors(run, folder), vectors.sources(run))


def quantize(run: Run) -> None:
    """Vectors to semantic IDs, measured and judged -> ``3-codes``."""
    from sidrec.assign import assign, pass_gate
    from sidrec.catalogue.keep import kept

    earlier = kept(run)
    settings = run.config.quantize.model_dump(mode="json", exclude={"gate", "drift_limit", "keep"})
    sources = None if earlier is None else {"kept codes": earlier.codes_hash()}
    if not _stage(run, "quantize", settings, lambda folder: assign(run, earlier, folder), sources):
        pass_gate(run, run.folder("quantize"))  # the gate may have been changed since


def converse(run: Run) -> None:
    """Items and histories to conversations -> ``4-conversations``."""
    from sidrec.converse import (
        samples_markdown,
        task_counts,
        test_samples,
        train_conversations,
        train_examples,
        valid_conversations,
    )

    config, seed = run.config.converse, run.config.seed

    def make(folder: Path) -> None:
        corpus = storage.load_corpus(run.folder("ingest"))
        codes = storage.load_codes(run.folder("quantize"))
        counts = storage.save_conversations(folder, "train", train_conversations(corpus, codes, config, seed))
        storage.save_conversations(folder, "valid", valid_conversations(corpus, codes, config, seed))
        storage.save_samples(folder, test_samples(corpus, codes, config, seed))
        write_json(folder / "counts.json", [asdict(count) for count in task_counts(corpus, codes, config, seed)])
        write_file(folder / "samples.md", samples_markdown(train_examples(corpus, codes, config, seed), counts).encode())
        say(f"  {sum(counts.values()):,} conversations of {len(counts)} tasks")

    _stage(run, "converse", config.model_dump(mode="json"), make)


def train_vocabulary(run: Run) -> None:
    """Stage 1: add the SID tokens to the base model and let only their rows learn -> ``5-vocabulary``."""
    from sidrec import train as room

    config, seed = run.config.train, run.config.seed

    def make(folder: Path) -> None:
        corpus = storage.load_corpus(run.folder("ingest"))
        codes = storage.load_codes(run.folder("quantize"))
        model, tokenizer = room.build_base(config, _plain_texts(run), seed)
        warm = [i for i, cold in enumerate(corpus.cold) if not cold]
        titles = corpus.items[c.TITLE].to_list()
        carried = [(tuple(codes.codes[i].tolist()), titles[i]) for i in warm]
        vocabulary = room.extend_vocabulary(model, tokenizer, codes.sizes, seed, config.initial_rows, carried)
        say(f"  {len(vocabulary.tokens):,} new tokens, ids {vocabulary.first_id}..{vocabulary.last_id}")
        renderer = Renderer(tokenizer.backend_tokenizer, vocabulary)
        data, valid = _tokenized(run, renderer)
        room.train_vocabulary(model, vocabulary, data, valid, config, workspace=folder, seed=seed)
        _save_model(folder, model, tokenizer)

    settings = config.model_dump(mode="json", exclude={"full": True, "vocabulary": _CADENCE})
    _stage(run, "train-vocabulary", settings, make)


def train_full(run: Run) -> None:
    """Stage 2: everything learns -> ``6-model``, a Hugging Face folder."""
    from sidrec import train as room

    config, seed = run.config.train, run.config.seed

    def make(folder: Path) -> None:
        codes = storage.load_codes(run.folder("quantize"))
        model, tokenizer = room.load_trained(run.folder("train-vocabulary"), config)
        renderer = renderer_for(tokenizer.backend_tokenizer, codes.sizes)
        data, valid = _tokenized(run, renderer)
        room.train_full(model, data, valid, config, workspace=folder, seed=seed)
        _save_model(folder, model, tokenizer)

    settings = config.model_dump(mode="json", exclude={"vocabulary": True, "full": _CADENCE})
    _stage(run, "train-full", settings, make)


def recommend(run: Run, batch: Batch | None = None) -> None:
    """What every user of the log, or of a file, may buy next -> ``7-recommendations``; not part of ``run_all``."""
    from sidrec.batch.scoring import Batch, score_users

    batch = batch or Batch()
    _stage(run, "recommend", batch.settings(run), partial(score_users, run, batch), batch.sources(run))


def evaluate(run: Run) -> None:
    """The 11 tasks and the next purchase, beside baselines -> ``8-report``."""
    from sidrec.measure import measure

    settings = {
        "evaluate": run.config.evaluate.model_dump(mode="json"),
        "recommend": run.config.recommend.model_dump(mode="json", exclude={"users_per_part"}),
    }
    _stage(run, "evaluate", settings, lambda folder: measure(run, folder))


STAGE_FUNCTIONS: dict[str, Callable[[Run], None]] = {
    "ingest": ingest,
    "embed": embed,
    "quantize": quantize,
    "converse": converse,
    "train-vocabulary": train_vocabulary,
    "train-full": train_full,
    "evaluate": evaluate,
}

# How often checkpoints are written does not change the result, so a run may go on with another cadence.
_CADENCE = {"checkpoint_minutes", "keep_checkpoints"}


def renderer_for(tokenizer: Tokenizer, sizes: tuple[int, ...]) -> Renderer:
    """The renderer of a trained model's tokenizer.

    Raises:
        ArtifactError: the tokenizer has no SID tokens.
    """
    first_id = tokenizer.token_to_id(REC)
    if first_id is None:
        raise ArtifactError(f"the model's tokenizer has no token {REC}: it was not made by `sidrec train-vocabulary`")
    return Renderer(tokenizer, SidVocabulary(sizes, first_id))


def _stage(
    run: Run, command: str, config: Mapping[str, Any], make: Callable[[Path], None], sources: Mapping[str, str] | None = None
) -> bool:
    """Skip what is finished and unchanged; otherwise make it in a working folder and finish it. Whether it was made."""
    stage = STAGES[command]
    with locked(run.path):
        write_file(run.path / CONFIG_FILE, run.config.model_dump_json(indent=2).encode())
        inputs = dict(sources or {}) | {need: verified_manifest(run.path, need).content for need in stage.needs}
        ticket = Ticket(stage, run.config.seed, dict(config), inputs)
        try:
            if finished(run.path, ticket):
                say(f"{stage.folder}: unchanged, kept")
                return False
        except ArtifactError as damage:
            warn(f"{damage}; it is made again now")
        say(f"{stage.folder}: sidrec {command}")
        with timed() as seconds, writing(run.path, ticket) as folder:
            make(folder)
        say(f"{stage.folder}: finished in {seconds[0]:.1f} s")
    return True


def _plain_texts(run: Run) -> Iterator[str]:
    """The untrusted text of the training conversations: what a tokenizer may be trained on."""
    rows: dict[str, int] = {}
    for conversation in storage.iter_conversations(run.folder("converse"), "train"):
        rows[conversation.task] = rows.get(conversation.task, 0) + 1
        if rows[conversation.task] > _TOKENIZER_ROWS:
            continue
        for message in conversation.messages:
            at = 0
            for start, end in (*message.spans, (len(message.content), len(message.content))):
                if start > at:
                    yield message.content[at:start]
                at = end


def _tokenized(run: Run, renderer: Renderer) -> tuple[Any, Any]:
    from sidrec.train import tokenize

    def part(name: str) -> Iterator[Conversation]:
        return storage.iter_conversations(run.folder("converse"), name)

    longest = run.config.train.max_tokens
    return tokenize(part("train"), renderer, longest), tokenize(part("valid"), renderer, longest)


def _save_model(folder: Path, model: Any, tokenizer: Any) -> None:
    with quiet_transformers():
        model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)


def _counted(reasons: Sequence[str]) -> str:
    counts = {reason: reasons.count(reason) for reason in sorted(set(reasons))}
    return ", ".join(f"{reason} {n:,}" for reason, n in counts.items()) or "none"
