"""What a rebuilt catalogue keeps of an earlier run: its encoder, its codebook, and every code that it ever gave.

``quantize.keep`` names the earlier run. Its encoder makes the vectors, for a codebook is only right for those that it was
learned with; its registry says which items have codes. So a model trained on the new run speaks of the same items in the
same words, whatever has come and gone since.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from sidrec import embed
from sidrec.artifacts import verified, verified_manifest
from sidrec.catalogue.live import FOLDER, open_catalogue
from sidrec.errors import ArtifactError, ConfigError
from sidrec.log import say
from sidrec.pipeline import CONFIG_FILE, Run
from sidrec.quantize import Codebook, Registry

_SAME_CODES = ("method", "levels", "text_weight", "given_weights", "behaviour_weight", "behaviour_dimension")  # of quantize
_SAME_TEXT = ("encoder", "dimension", "fields", "max_chars")  # of embed: what makes a text's vector what it is


@dataclass(frozen=True, slots=True, eq=False)
class Kept:
    """An earlier run, and the folder of its catalogue that the codes are taken from."""

    run: Run
    folder: Path

    def encoder(self) -> embed.ItemEncoder:
        """The frozen encoder."""
        return embed.load_encoder(self.run.checked("embed"), self.run.config.embed)

    def codebook(self) -> Codebook:
        """The frozen codebook."""
        return Codebook.load(self.run.checked("quantize"))

    def registry(self) -> Registry:
        """Every code that was ever given."""
        return Registry.load(self.folder / "registry.parquet")

    def encoder_hash(self) -> str:
        """What the vectors depend on."""
        return verified_manifest(self.run.path, "embed").content

    def codes_hash(self) -> str:
        """What the codes depend on."""
        return verified(self.folder, f"give quantize.keep a run that is whole, not {self.run.path}").content


def kept(run: Run) -> Kept | None:
    """What ``quantize.keep`` names; ``None`` where it names nothing.

    It may be a run (the latest version of its live catalogue, or else its ``3-codes``), one of these folders, or one
    version of the live catalogue.

    Raises:
        ArtifactError: there is no such run, or it is damaged.
        ConfigError: it is this very run, or the config asks for other vectors or levels than were kept.
    """
    if not run.config.quantize.keep:
        return None
    path = Path(run.config.quantize.keep)
    root = next((one for one in (path, *path.parents[:2]) if (one / CONFIG_FILE).is_file()), None)
    if root is None:
        raise ArtifactError(f"quantize.keep = {str(path)!r} is no run, nor the 3-codes or {FOLDER} of one (no {CONFIG_FILE})")
    if root.resolve() == run.path.resolve():
        raise ConfigError(f"quantize.keep = {str(path)!r} is in this very run: rebuild the grown catalogue in another --run")
    earlier = Run.open(root)
    folder = path if path.parent.name == FOLDER else open_catalogue(earlier).folder
    if path.name == earlier.folder("quantize").name:
        folder = path
    _agree(run, earlier)
    return Kept(earlier, folder)


def carried(now: Registry, before: Registry) -> None:
    """Say what became of the codes that were kept."""
    came = len(now.item_ids) - len(before.item_ids)
    away = int(now.absent.sum())
    by_hand = int(((now.retired > 0) & ~now.absent & (now.rows >= 0)).sum())
    other = np.asarray([a != b for a, b in zip(before.texts, now.texts, strict=False)], dtype=np.bool_)
    say(f"  kept the codes of {now.n_rows - came:,} items; {came:,} are new, {away:,} are missing and retired")
    if by_hand:
        say(f"  {by_hand:,} items of the catalogue were retired by hand and stay so; `sidrec codes restore` offers them again")
    if other.any():
        say(f"  {int(other.sum()):,} items have other text than when they were coded; they keep their codes")


def _agree(run: Run, earlier: Run) -> None:
    for name in _SAME_TEXT:
        ours, theirs = getattr(run.config.embed, name), getattr(earlier.config.embed, name)
        if ours != theirs:
            raise ConfigError(
                f"embed.{name} is {ours!r}, but the codes of {earlier.path} were learned with {theirs!r}: set it to that, "
                "or leave out quantize.keep and learn new codes"
            )
    for name in _SAME_CODES:
        ours, theirs = getattr(run.config.quantize, name), getattr(earlier.config.quantize, name)
        if ours != theirs:
            raise ConfigError(
                f"quantize.{name} is {ours!r}, but {earlier.path} has codes of {theirs!r}: set it to that, "
                "or leave out quantize.keep and learn new codes"
            )
