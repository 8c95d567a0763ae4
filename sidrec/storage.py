"""The values of ``types.py`` as files inside an artefact folder: Parquet, safetensors and JSON, never pickle."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray
from safetensors import SafetensorError, safe_open
from safetensors.numpy import load_file, save_file

from sidrec import columns as c
from sidrec.config import GivenVectors
from sidrec.errors import ArtifactError
from sidrec.types import Conversation, Corpus, ItemCodes, ItemVectors, Message, Ranked, TaskSample

ROWS_PER_SHARD = 200_000  # about 100 MB of messages in memory
_USERS_PER_GROUP = 16_384
_SIZES = "sidrec.sizes"
_TIE_LEVEL = "sidrec.tie_level"

_MESSAGE_SCHEMA: dict[str, pl.DataType] = {
    c.TASK: pl.String(),
    c.MESSAGES: pl.List(pl.Struct({"role": pl.String(), "content": pl.String()})),
    c.SPANS: pl.List(pl.List(pl.Int32())),
    c.ITEM_INDEX: pl.Int32(),
}
_SAMPLE_SCHEMA: dict[str, pl.DataType] = {
    **_MESSAGE_SCHEMA,
    "reference": pl.String(),
    "history": pl.List(pl.Int32()),
    c.COLD: pl.Boolean(),
}

RECOMMENDATION_SCHEMA: dict[str, pl.DataType] = {
    c.USER: pl.String(),
    c.RANK: pl.Int32(),
    c.ITEM_INDEX: pl.Int32(),
    c.ITEM_ID: pl.String(),
    c.SCORE: pl.Float32(),
    c.EXACT: pl.Boolean(),
}


def save_corpus(folder: Path, corpus: Corpus) -> None:
    """``items.parquet``, ``histories.parquet``, ``dropped.parquet``."""
    corpus.items.write_parquet(folder / "items.parquet")
    # Small row groups: who reads the users in shards decodes one of these at a time, not 262,144 users (measured: 109 MB
    # and 44 ms a shard of 600,000 users in place of 85 MB and 7 ms).
    corpus.histories.write_parquet(folder / "histories.parquet", row_group_size=_USERS_PER_GROUP)
    corpus.dropped.write_parquet(folder / "dropped.parquet")


def load_corpus(folder: Path) -> Corpus:
    """See ``save_corpus``."""
    return Corpus(*(pl.read_parquet(folder / f"{name}.parquet") for name in ("items", "histories", "dropped")))


def count_training_purchases(folder: Path, n_items: int) -> NDArray[np.int64]:
    """int64 ``(n_items,)``: how often each item was bought in what may be learned from; 0 for items that came later.

    Some users at a time: there may be more than memory holds.
    """
    path = folder / "histories.parquet"
    counts = np.zeros(n_items, dtype=np.int64)
    lists = pl.scan_parquet(path).select(pl.col(c.ITEMS).list.head(pl.col(c.TRAIN_END)))
    for start in range(0, int(pl.scan_parquet(path).select(pl.len()).collect().item()), _USERS_PER_GROUP):
        bought = lists.slice(start, _USERS_PER_GROUP).collect()[c.ITEMS].explode().drop_nulls()
        counts += np.bincount(bought.to_numpy(), minlength=n_items)
    return counts


def save_vectors(folder: Path, vectors: ItemVectors) -> None:
    """``vectors.safetensors``: float32 ``(N, D)``."""
    save_file({"vectors": np.ascontiguousarray(vectors.vectors)}, folder / "vectors.safetensors")


def load_vectors(folder: Path) -> ItemVectors:
    """See ``save_vectors``. Mapped from the file, read-only: what is not read takes no memory.

    Raises:
        ArtifactError: missing or damaged.
    """
    path = folder / "vectors.safetensors"
    try:
        with safe_open(path, framework="numpy") as file:  # checks the file's header against its length
            shape = tuple(file.get_slice("vectors").get_shape())
        with path.open("rb") as raw:
            length = int.from_bytes(raw.read(8), "little")
            place = json.loads(raw.read(length))["vectors"]
    except (OSError, SafetensorError, KeyError, json.JSONDecodeError) as error:
        raise ArtifactError(f"{path} is missing or damaged ({error}): run `sidrec embed` again") from None
    if place["dtype"] != "F32" or 0 in shape:
        return ItemVectors(load_file(path)["vectors"])  # nothing that can be mapped; the value says what is wrong with it
    start = 8 + length + place["data_offsets"][0]
    return ItemVectors(np.asarray(np.memmap(path, np.dtype("<f4"), "r", start, shape)))


def save_given(folder: Path, given: GivenVectors, rows: NDArray[np.float32]) -> None:
    """``given-NAME.safetensors``: float32 ``(N, E)``, unit rows; a zero row where the shop gave no vector."""
    save_file({"vectors": np.ascontiguousarray(rows)}, folder / f"given-{given.name}.safetensors")


def load_given(folder: Path, given: Sequence[GivenVectors]) -> dict[str, NDArray[np.float32]]:
    """See ``save_given``; by name."""
    return {one.name: load_file(folder / f"given-{one.name}.safetensors")["vectors"] for one in given}


def save_codes(folder: Path, codes: ItemCodes, item_ids: list[str]) -> None:
    """``codes.parquet``: item_index, item_id, codes; the level sizes travel in the file's own metadata."""
    frame = pl.DataFrame(
        {c.ITEM_INDEX: np.arange(codes.n_items, dtype=np.int32), c.ITEM_ID: item_ids, c.CODES: codes.codes.tolist()},
        schema={c.ITEM_INDEX: pl.Int32(), c.ITEM_ID: pl.String(), c.CODES: pl.List(pl.Int32())},
    )
    frame.write_parquet(
        folder / "codes.parquet", metadata={_SIZES: json.dumps(codes.sizes), _TIE_LEVEL: json.dumps(codes.tie_level)}
    )


def load_codes(folder: Path) -> ItemCodes:
    """See ``save_codes``."""
    path = folder / "codes.parquet"
    about = pl.read_parquet_metadata(path)
    sizes = tuple(json.loads(about[_SIZES]))
    codes = pl.read_parquet(path)[c.CODES].list.to_array(len(sizes)).to_numpy()
    return ItemCodes(np.ascontiguousarray(codes, dtype=np.int32), sizes, json.loads(about[_TIE_LEVEL]))


def load_item_ids(folder: Path) -> pl.Series:
    """String ``(N,)``: the item ids of ``codes.parquet``, row i is item i."""
    return pl.read_parquet(folder / "codes.parquet", columns=[c.ITEM_ID])[c.ITEM_ID]


def load_offered(folder: Path, n_items: int) -> NDArray[np.bool_] | None:
    """bool ``(N,)`` of the ``registry.parquet`` beside some codes: neither retired nor absent. ``None``: there is none."""
    path = folder / "registry.parquet"
    if not path.is_file():
        return None
    on = pl.read_parquet(path, columns=[c.ITEM_INDEX, c.RETIRED, c.ABSENT]).filter(
        pl.col(c.ITEM_INDEX).is_not_null() & pl.col(c.RETIRED).is_null() & ~pl.col(c.ABSENT)
    )
    offered = np.zeros(n_items, dtype=np.bool_)
    offered[on[c.ITEM_INDEX].to_numpy()] = True
    return offered


def save_conversations(folder: Path, part: str, conversations: Iterable[Conversation]) -> dict[str, int]:
    """``<part>-00000.parquet`` and so on; returns how many of each task were written."""
    counts: dict[str, int] = {}
    rows = iter(conversations)
    for shard, chunk in enumerate(iter(lambda: list(islice(rows, ROWS_PER_SHARD)), [])):
        columns = _message_columns([(x.task, x.messages, x.item_index) for x in chunk])
        pl.DataFrame(columns, schema=_MESSAGE_SCHEMA).write_parquet(folder / f"{part}-{shard:05}.parquet")
        for conversation in chunk:
            counts[conversation.task] = counts.get(conversation.task, 0) + 1
    return counts


def iter_conversations(folder: Path, part: str) -> Iterator[Conversation]:
    """Conversations of a part, in the order they were written."""
    for path in sorted(folder.glob(f"{part}-*.parquet")):
        for task, messages, spans, item_index in pl.read_parquet(path).select(*_MESSAGE_SCHEMA).iter_rows():
            yield Conversation(task, _messages(messages, spans), item_index)


def save_samples(folder: Path, samples: Iterable[TaskSample]) -> None:
    """``test.parquet``: the evaluation samples, fixed before any training."""
    rows = list(samples)
    columns = _message_columns([(x.task, x.messages, x.item_index) for x in rows])
    columns["reference"] = [x.reference for x in rows]
    columns["history"] = [list(x.history) for x in rows]
    columns[c.COLD] = [x.cold for x in rows]
    pl.DataFrame(columns, schema=_SAMPLE_SCHEMA).write_parquet(folder / "test.parquet")


def load_samples(folder: Path) -> list[TaskSample]:
    """See ``save_samples``."""
    rows = pl.read_parquet(folder / "test.parquet").select(*_SAMPLE_SCHEMA).iter_rows()
    return [
        TaskSample(task, _messages(messages, spans), item_index, reference, tuple(history), cold)
        for task, messages, spans, item_index, reference, history, cold in rows
    ]


def recommendations_frame(users: Sequence[str], answers: Sequence[Ranked], item_ids: pl.Series) -> pl.DataFrame:
    """One row an item of an answer (``RECOMMENDATION_SCHEMA``), in the order of the users; ranks count from 1.

    ``item_ids``: String ``(N,)``, row i is item i.
    """
    lengths = [len(answer.items) for answer in answers]
    none: list[Any] = [np.empty(0)]
    at = np.repeat(np.arange(len(users)), lengths)
    items = pl.Series(np.concatenate([answer.items for answer in answers] or none).astype(np.int32))
    return pl.DataFrame(
        {
            c.USER: pl.Series(users, dtype=pl.String).gather(at),
            c.RANK: np.concatenate([np.arange(1, n + 1) for n in lengths] or none).astype(np.int32),
            c.ITEM_INDEX: items,
            c.ITEM_ID: item_ids.gather(items),
            c.SCORE: np.concatenate([answer.scores for answer in answers] or none).astype(np.float32),
            c.EXACT: np.asarray([answer.exact for answer in answers], dtype=np.bool_)[at],
        },
        schema=RECOMMENDATION_SCHEMA,
    )


def scan_recommendations(folder: Path) -> pl.LazyFrame:
    """All parts of ``7-recommendations``, in the order of the users."""
    return pl.scan_parquet(sorted(folder.glob("part-*.parquet")))


def _message_columns(rows: list[tuple[str, tuple[Message, ...], int]]) -> dict[str, list[Any]]:
    return {
        c.TASK: [task for task, _, _ in rows],
        c.MESSAGES: [[{"role": m.role, "content": m.content} for m in messages] for _, messages, _ in rows],
        c.SPANS: [[[at for span in m.spans for at in span] for m in messages] for _, messages, _ in rows],
        c.ITEM_INDEX: [item_index for _, _, item_index in rows],
    }


def _messages(messages: list[dict[str, Any]], spans: list[list[int]]) -> tuple[Message, ...]:
    return tuple(
        Message(message["role"], message["content"], tuple(zip(flat[::2], flat[1::2], strict=True)))
        for message, flat in zip(messages, spans, strict=True)
    )
