"""The customers of a batch, in shards: those of the run's own log, or of a file. Never all in memory."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import polars as pl

from sidrec import columns as c
from sidrec.artifacts import write_json
from sidrec.config import UnknownItems
from sidrec.errors import DataError
from sidrec.ingest import read_users
from sidrec.ingest.rows import AT
from sidrec.log import progress, warn

_COUNTS = ".users.json"


@dataclass(frozen=True, slots=True)
class Users:
    """``count`` users in shards of ``size``, in the order of their source.

    ``table`` is a Parquet file with the columns ``user_id`` and ``items`` (item indices, oldest first), or a folder with
    one such file a shard.
    """

    table: Path
    count: int
    size: int

    @classmethod
    def of_corpus(cls, table: Path, size: int) -> Users:
        """``table``: ``histories.parquet`` of a run.

        Raises:
            DataError: there are no users.
        """
        count = int(pl.scan_parquet(table).select(pl.len()).collect().item())
        if not count:
            raise DataError(f"{table} holds no users: there is nobody to recommend to")
        return cls(table, count, size)

    @classmethod
    def of_file(cls, file: Path, item_ids: pl.Series, size: int, folder: Path, unknown: UnknownItems) -> Users:
        """Read a file of users once, with item ids to indices, into a Parquet file a shard in ``folder``.

        What an earlier call has finished there is used again.

        Args:
            item_ids: String ``(N,)``, row i is item i.
            unknown: what an id that is not in the catalogue does: ``refuse`` the file, or ``drop`` the purchase.

        Raises:
            DataError: the file cannot be read, has no users, or an unknown item; file, line and id are named.
        """
        done = folder / _COUNTS
        if not done.is_file():
            count = dropped = shard = 0
            rest = pl.DataFrame(schema={c.USER_ID: pl.String, c.ITEMS: pl.List(pl.Int32)})
            known = pl.DataFrame({c.ITEM_ID: item_ids}).with_row_index(c.ITEM_INDEX).cast({c.ITEM_INDEX: pl.Int32})
            with progress(f"read {file.name}") as bar:
                for frame in read_users(file):
                    found, lost = _indexed(frame, known, file, unknown)
                    rest, count, dropped = pl.concat([rest, found]), count + found.height, dropped + lost
                    while rest.height >= size:
                        _write_shard(rest.head(size), folder, shard)
                        rest, shard = rest.slice(size), shard + 1
                    bar.advance(found.height)
            if rest.height:
                _write_shard(rest, folder, shard)
            if not count:
                raise DataError(f"{file} holds no users: expected one row a customer")
            write_json(done, {"users": count, "dropped": dropped})
            if dropped:
                many = "1 purchase of an item" if dropped == 1 else f"{dropped:,} purchases of items"
                warn(f"{file}: left out, for the catalogue lacks them: {many}")
        return cls(folder, int(json.loads(done.read_bytes())["users"]), size)

    @property
    def shards(self) -> int:
        return -(-self.count // self.size)

    def height(self, shard: int) -> int:
        """How many users a shard has."""
        return min(self.size, self.count - shard * self.size)

    def read(self, shard: int) -> tuple[list[str], list[list[int]]]:
        """User ids and histories of one shard."""
        if self.table.is_dir():
            frame = pl.read_parquet(_shard_file(self.table, shard))
        else:
            rows = pl.scan_parquet(self.table).select(c.USER_ID, c.ITEMS)
            frame = rows.slice(shard * self.size, self.size).collect()
        return frame[c.USER_ID].to_list(), frame[c.ITEMS].to_list()


def _indexed(frame: pl.DataFrame, known: pl.DataFrame, file: Path, unknown: UnknownItems) -> tuple[pl.DataFrame, int]:
    """``items`` as item indices, and how many were not known."""
    flat = frame.select(AT, pl.col(c.ITEMS).alias(c.ITEM_ID)).explode(c.ITEM_ID)
    flat = flat.join(known, on=c.ITEM_ID, how="left", maintain_order="left")
    lost = flat.filter(pl.col(c.ITEM_ID).is_not_null() & pl.col(c.ITEM_INDEX).is_null())
    if lost.height and unknown == "refuse":
        raise DataError(
            f"{file}, line {lost[AT][0]}: no item {lost[c.ITEM_ID][0]!r} in the catalogue, whose ids look like "
            f"{known[c.ITEM_ID][0]!r}; mend the file, or leave such purchases out with --unknown-items drop"
        )
    lists = flat.group_by(AT).agg(pl.col(c.ITEM_INDEX).drop_nulls().alias(c.ITEMS))
    joined = frame.select(c.USER_ID, AT).join(lists, on=AT, how="left", maintain_order="left")
    return joined.select(c.USER_ID, pl.col(c.ITEMS).fill_null([])), lost.height


def _write_shard(frame: pl.DataFrame, folder: Path, shard: int) -> None:
    temporary = folder / ".users.tmp"
    frame.write_parquet(temporary)
    temporary.replace(_shard_file(folder, shard))


def _shard_file(folder: Path, shard: int) -> Path:
    return folder / f".users-{shard:05}.parquet"
