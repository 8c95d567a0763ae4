"""Vectors to semantic IDs."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, model_validator

from sidrec.config.base import Count, Positive, Share, Table


class GateConfig(Table):
    """Which codes are too poor to train on. Judged once they are made; changing it makes nothing again."""

    action: Literal["stop", "warn", "off"] = Field(
        "stop", description="What happens then. 'stop': the run ends with advice; 'warn': it goes on with a warning."
    )
    min_perplexity: Share = Field(
        0.5,
        description="Least perplexity of a learned level, as a share of its size; in a small catalogue, of what codes given "
        "out blindly would reach. Under it the level has collapsed: few codes carry most items. A level that finds four "
        "fifths of the items told apart already is not judged.",
    )
    max_tied_items: Share = Field(
        0.5, description="Largest share of items that share their learned code with another, which the tie level has to part."
    )


class RqVaeConfig(Table):
    """The RQ-VAE: a network learned together with the codes."""

    hidden: tuple[Positive, ...] = Field(
        (),
        description="Widths of the hidden layers, vectors to code. Empty: halved down to 128, or 2 x code_width.",
    )
    code_width: Positive = Field(32, description="Width that the codebooks live in.")
    gradient: Literal["rotation", "straight-through"] = Field(
        "straight-through", description="How the decoder's gradient reaches the encoder: copied, or by the rotation trick."
    )
    commitment: float = Field(0.25, ge=0.0, description="Weight of the encoder's part in the codebooks' loss.")
    codebook_weight: float = Field(0.3, ge=0.0, description="Weight of the codebooks' loss beside the reconstruction's.")
    epochs: Positive = Field(200, description="Passes over the items at most.")
    batch_size: Positive = Field(1024, description="Items a step; fewer in a small catalogue, so that an epoch has ten steps.")
    learning_rate: float = Field(3e-3, gt=0.0, description="AdamW's peak learning rate.")
    min_learning_rate: float = Field(1e-6, ge=0.0, description="Where the cosine ends.")
    warmup_steps: Count = Field(200, description="Steps with a rising learning rate; at most a tenth of all.")
    weight_decay: float = Field(0.01, ge=0.0, description="AdamW's decoupled weight decay.")
    start_share: Share = Field(0.1, description="Share of the epochs before k-means sets the codebooks; no codes until then.")
    revive_every: Positive = Field(2, description="Epochs between revivals of codes that are hardly used.")
    revive_share: Share = Field(
        0.3,
        description="A code used less often than this share of an even use is put elsewhere; 0: only unused ones are.",
    )
    revive_until: Share = Field(0.8, description="Share of the epochs after which none is revived any more.")
    valid_share: float = Field(
        0.05, ge=0.0, lt=1.0, description="Share of the items that the best state is chosen by, and not learned from; 0: none."
    )
    patience: Count = Field(
        30,
        description="Stop after so many epochs whose validation error is 1 % above the least, revivals over; 0: never.",
    )
    mask_share: Share = Field(
        0.0, description="Progressive masking: share of the rows decoded from their first levels only, their number drawn."
    )
    contrast_weight: float = Field(
        0.0, ge=0.0, description="Weight of the loss that draws items bought together (in training purchases) to each other."
    )
    contrast_temperature: float = Field(0.2, gt=0.0, description="Temperature of that loss; lower looks at the nearest more.")
    device: str = Field("auto", description="'auto', 'cpu', 'cuda'...")


class QuantizeConfig(Table):
    """Vectors to semantic IDs."""

    method: Literal["residual-kmeans", "rq-vae"] = Field("residual-kmeans", description="How codes are learned.")
    levels: tuple[Positive, ...] = Field((256, 256, 256), min_length=1, description="Codes of each learned level.")
    balance: float = Field(
        0.0,
        ge=0.0,
        description="residual-kmeans: a code takes at most about so many times its even share of items, e.g. 1.5; 0: no cap.",
    )
    collisions: Literal["move", "tie"] = Field(
        "move",
        description="Items that meet in one learned code. 'move': all but the first by item id take their nearest free code of "
        "the last learned level, within collision_limit; 'tie': all stay, and the tie level alone parts them.",
    )
    collision_limit: float = Field(
        0.3, ge=0.0, description="move: what a move may add to an item's squared error, in units of the mean residual."
    )
    tie_codes: Count = Field(
        256, description="Codes of the last level, which breaks ties by item id; 0: no such level, items may share a code."
    )
    tie_overflow: Literal["grow", "refuse"] = Field(
        "grow",
        description="Where a group of ties is larger than tie_codes: grow the level to it and a quarter more, and warn; or "
        "refuse the catalogue.",
    )
    iterations: Positive = Field(50, description="Lloyd steps a level at most.")
    tolerance: float = Field(1e-4, ge=0.0, description="Stop when the mean squared error falls by a smaller share.")
    behaviour_weight: float = Field(
        0.0,
        ge=0.0,
        description="Weight of co-purchase vectors (training purchases only) beside the text vectors; 0: text alone.",
    )
    behaviour_dimension: Positive = Field(64, description="Width of the co-purchase vectors.")
    keep: str = Field(
        "",
        description="Folder of an earlier run: its encoder (for embed too), its codebook and all its codes are kept, new items "
        "are encoded, missing ones retired, and no code moves. Or the 3-codes or 9-catalogue in it. Empty: codes are learned.",
    )
    drift_limit: float = Field(
        0.25,
        ge=0.0,
        description="`sidrec codes drift`: by what share new items may lie farther from their codes than old ones before it is "
        "time to learn new codes.",
    )
    text_weight: float = Field(1.0, ge=0.0, description="Weight of the text vectors; 0: the other vectors alone.")
    given_weights: dict[str, Annotated[float, Field(ge=0.0)]] = Field(
        default_factory=dict, description="Weights of the vectors of embed.given, by name; 1 where none is named, 0: not used."
    )
    gate: GateConfig = Field(default_factory=GateConfig, description="Which codes are too poor to train on.")
    rqvae: RqVaeConfig = Field(default_factory=RqVaeConfig, description="method 'rq-vae': a network learned with the codes.")

    @model_validator(mode="after")
    def _balance_can_be_had(self) -> QuantizeConfig:
        if 0 < self.balance < 1:
            raise ValueError(f"balance {self.balance} leaves items without a code: use 0 (no cap), or more than 1, e.g. 1.5")
        if self.balance and self.method != "residual-kmeans":
            raise ValueError(f"balance is for the method 'residual-kmeans', the method is {self.method!r}: set balance to 0")
        return self
