"""Any sentence-transformers model, batched by length, and resumable."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.numpy import load_file, save_file

from sidrec.errors import ConfigError, DataError, MissingExtraError
from sidrec.log import progress, warn

KIND = "sentence-transformers"
_FORMAT = 1
_BATCHES_PER_SHARD = 16  # what a kill can cost; a file a batch would be thousands of files


@dataclass(frozen=True)
class SentenceEncoder:
    """A sentence-transformers model by hub name or folder; loaded at the first use."""

    name_or_path: str
    device: str = "auto"
    batch_size: int = 64

    def encode(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """float32 ``(len(texts), D)``, unit rows. Equal texts get equal vectors: each is encoded once.

        Raises:
            ConfigError: there is no such model here.
            MissingExtraError: sentence-transformers is not installed.
        """
        unique, place = _by_length(texts)
        batches = [self._encode_batch(unique[i : i + self.batch_size]) for i in range(0, len(unique), self.batch_size)]
        return np.concatenate(batches)[place] if batches else np.empty((0, self._width), np.float32)

    def encode_resumable(self, texts: Sequence[str], workspace: Path) -> NDArray[np.float32]:
        """As ``encode``, but what is finished stays in ``workspace`` and a killed run goes on from there.

        The shards are those of this model, these texts and this batch size only, and a batch holds the same texts however
        often the run was killed: the result has the same bytes. Their folder's name starts with a dot, so they count as
        work and not as part of the artefact.
        """
        unique, place = _by_length(texts)
        folder = workspace / f".shards-{self._key(unique)}"
        folder.mkdir(parents=True, exist_ok=True)
        step = self.batch_size * _BATCHES_PER_SHARD
        shards: list[NDArray[np.float32]] = []
        with progress("embed", total=len(unique)) as bar:
            for number, chunk in enumerate(_chunks(unique, step)):
                path = folder / f"{number:06}.safetensors"
                found = _read_shard(path, len(chunk))
                if found is None:
                    found = np.concatenate([self._encode_batch(batch) for batch in _chunks(chunk, self.batch_size)])
                    _write_shard(path, found)
                shards.append(found)
                bar.advance(len(chunk))
        return np.concatenate(shards)[place]

    def save(self, folder: Path) -> None:
        """``encoder.json``: the model's name, not its weights."""
        table = {"kind": KIND, "format": _FORMAT, "name": self.name_or_path}
        (folder / "encoder.json").write_text(json.dumps(table), "utf-8")

    @cached_property
    def _model(self) -> Any:
        try:
            from sentence_transformers import SentenceTransformer
        except ModuleNotFoundError as error:
            if error.name != "sentence_transformers":
                raise
            raise MissingExtraError("sentence-transformers", "encoders", f"embed.encoder = {self.name_or_path!r}") from None
        name = Path(self.name_or_path).expanduser()
        if not name.is_dir() and (name.is_absolute() or self.name_or_path.startswith((".", "~"))):
            raise ConfigError(f"embed.encoder: there is no folder {self.name_or_path}")
        unreachable = "" if name.is_dir() else _unreachable(self.name_or_path)
        try:
            return SentenceTransformer(
                str(name) if name.is_dir() else self.name_or_path,
                device=None if self.device == "auto" else self.device,
                trust_remote_code=False,
                local_files_only=bool(unreachable),
            )
        except (OSError, ValueError) as error:  # what huggingface_hub and transformers raise for a name that leads nowhere
            reason = unreachable or _sentence(error)
            raise ConfigError(
                f"embed.encoder = {self.name_or_path!r} is neither a folder with a sentence-transformers model nor one that "
                f"can be had from the hub or its cache ({reason}): check the name and the network, or use 'tfidf'"
            ) from None

    @property
    def _width(self) -> int:
        return int(self._model.get_embedding_dimension())

    def _encode_batch(self, texts: Sequence[str]) -> NDArray[np.float32]:
        raw = self._model.encode(list(texts), batch_size=len(texts), show_progress_bar=False, convert_to_numpy=True)
        vectors = np.asarray(raw, dtype=np.float32)
        norms = np.linalg.norm(vectors, axis=1, keepdims=True)
        bad = np.flatnonzero(~np.isfinite(norms[:, 0]) | (norms[:, 0] == 0))
        if len(bad):
            text = texts[bad[0]]
            raise DataError(
                f"the model {self.name_or_path} gives no finite vector for the text {text[:60]!r}: "
                "try another embed.device, or another encoder"
            )
        return np.asarray(vectors / norms, dtype=np.float32)

    def _key(self, texts: Sequence[str]) -> str:
        digest = hashlib.sha256(json.dumps([_FORMAT, self.name_or_path, self.device, self.batch_size]).encode())
        folder = Path(self.name_or_path).expanduser()
        if folder.is_dir():  # a folder's model can change under its name
            for path in sorted(p for p in folder.rglob("*") if p.is_file()):
                stat = path.stat()
                digest.update(f"{path.relative_to(folder)} {stat.st_size} {stat.st_mtime_ns}\0".encode())
        for text in texts:
            digest.update(hashlib.sha256(text.encode("utf-8", "surrogatepass")).digest())
        return digest.hexdigest()[:32]


def _unreachable(name: str) -> str:
    """Why the hub does not give this model, or "": one request, where loading would retry for over a minute (measured 76 s)."""
    from huggingface_hub import HfApi
    from huggingface_hub.errors import HTTPError  # type: ignore[attr-defined]

    try:
        HfApi().model_info(name, timeout=10)
    except (HTTPError, OSError, ValueError) as error:
        return _sentence(error)
    return ""


def _sentence(error: Exception) -> str:
    text = " ".join(str(error).split())
    return f"{type(error).__name__}: {text[:160]}{'...' if len(text) > 160 else ''}"


def _by_length(texts: Sequence[str]) -> tuple[list[str], NDArray[np.int64]]:
    """The distinct texts, longest first, and the place of each text among them.

    Like lengths together need little padding; the longest first, so that too large a batch fails at once.
    """
    unique = sorted(dict.fromkeys(texts), key=lambda text: (-len(text), text))
    at = {text: i for i, text in enumerate(unique)}
    return unique, np.fromiter((at[text] for text in texts), np.int64, len(texts))


def _chunks(texts: Sequence[str], size: int) -> Iterator[Sequence[str]]:
    for start in range(0, len(texts), size):
        yield texts[start : start + size]


def _read_shard(path: Path, rows: int) -> NDArray[np.float32] | None:
    if not path.exists():
        return None
    try:
        vectors = load_file(path)["vectors"]
    except (SafetensorError, KeyError):
        warn(f"{path} is damaged and is made again")
        return None
    return vectors if len(vectors) == rows else None


def _write_shard(path: Path, vectors: NDArray[np.float32]) -> None:
    temporary = path.with_suffix(".tmp")
    save_file({"vectors": np.ascontiguousarray(vectors)}, temporary)
    temporary.replace(path)
