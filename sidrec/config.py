"""The configuration of a run: one TOML file, one frozen pydantic model a stage.

The same word names the room, the command and the table. ``configfile.py`` reads the file. A new knob goes here, with a
description, and never into a flag: ``--set section.key=value`` reaches all of them.
"""

from __future__ import annotations

import difflib
from collections.abc import Sequence
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from sidrec import columns as c

Share = Annotated[float, Field(ge=0.0, le=1.0)]
Positive = Annotated[int, Field(ge=1)]
Count = Annotated[int, Field(ge=0)]
Engine = Literal["local", "ray"]  # who shares the work of a batch; not part of a config, since it changes no result
UnknownItems = Literal["refuse", "drop"]  # what an item id that the catalogue lacks does: it is an error, or left out


def nearest(name: str, known: Sequence[str]) -> str:
    """The end of a sentence about an unknown name.

    >>> nearest("epoch", ["epochs", "steps"])
    "; did you mean 'epochs'?"
    """
    close = difflib.get_close_matches(name, known, n=1, cutoff=0.4)
    return f"; did you mean {close[0]!r}?" if close else f"; known: {', '.join(known)}"


class _Table(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", validate_default=True)


class DemoSource(_Table):
    """The simulated pet-supplies shop that comes with sidrec."""

    products: int = Field(2000, ge=50, description="Products in the simulated catalogue.")
    customers: int = Field(5000, ge=50, description="Customers who buy from it.")


class ColumnMap(_Table):
    """Which column of your tables holds what. Empty: there is none. ``category`` and ``features`` may be lists."""

    item_id: str = Field("item_id", description="Item id, in both tables.")
    title: str = Field("title", description="Title of an item; required.")
    description: str = Field("", description="Long text of an item.")
    features: str = Field("", description="Bullet points: a list, or one text.")
    brand: str = Field("", description="Brand or maker.")
    category: str = Field("", description="Category path: a list, or text split at category_separator.")
    price: str = Field("", description="Price; text such as '$1,299.00' is read.")
    user_id: str = Field("user_id", description="Customer id, in the interactions table.")
    interaction_item_id: str = Field("", description="Item id in the interactions table, where it has another name.")
    timestamp: str = Field("timestamp", description="Time of purchase: a number or an ISO date. Empty: the file's order.")
    attributes: tuple[str, ...] = Field(
        (),
        description="Further columns of the items table, kept under their own names for filters, e.g. ['in_stock', 'species']. "
        "Each is typed by its values: numbers, true and false, lists of texts, else text. No model learns from them.",
    )

    @field_validator("attributes")
    @classmethod
    def _free_names(cls, names: tuple[str, ...]) -> tuple[str, ...]:
        for at, name in enumerate(names):
            if name in c.ITEM_COLUMNS or not name or name.startswith("__"):
                raise ValueError(
                    f"{name!r} is a name of sidrec's own ({', '.join(c.ITEM_COLUMNS)}, or '__...'): "
                    "give the column another name in your table, or map it with the keys above"
                )
            if name in names[:at]:
                raise ValueError(f"{name!r} is named twice")
        return names


class TablesSource(_Table):
    """Your own tables: CSV, TSV, JSONL or Parquet, gzipped or not, told by the file's ending."""

    folder: str = Field("", description="Folder of the files below; relative to the config file.")
    items: str = Field("items.csv", description="The catalogue, one row an item.")
    interactions: str = Field("interactions.csv", description="The purchase log, one row a purchase.")
    columns: ColumnMap = Field(default_factory=ColumnMap, description="Which column holds what.")
    category_separator: str = Field(">", description="Splits a category path given as one text.")


class AmazonSource(_Table):
    """Amazon Reviews 2023, by category, from local files or downloaded with huggingface_hub."""

    category: str = Field("Pet_Supplies", description="Category as in the file names, e.g. Pet_Supplies.")
    folder: str = Field("", description="Folder with the files; empty: download to the Hugging Face cache.")
    interactions: Literal["5core", "reviews"] = Field(
        "5core", description="'5core': the 5-core rating CSV; 'reviews': the raw review JSONL."
    )


class IngestConfig(_Table):
    """Read, clean, filter, split."""

    source: Literal["demo", "tables", "amazon-2023"] = Field("demo", description="Which of the three tables below is used.")
    demo: DemoSource = Field(default_factory=DemoSource, description="The demo shop.")
    tables: TablesSource = Field(default_factory=TablesSource, description="Your own tables.")
    amazon: AmazonSource = Field(default_factory=AmazonSource, description="Amazon Reviews 2023.")
    max_bad_share: Share = Field(0.01, description="Share of unreadable rows past which a file is refused.")
    max_title_chars: Positive = Field(200, description="Titles are cut at the last whole word within this length.")
    max_description_chars: Positive = Field(1000, description="The same for descriptions.")
    max_features_chars: Positive = Field(600, description="The same for all features of an item together.")
    min_text_chars: Count = Field(0, description="Items with less text (title and description) are left out.")
    user_core: Positive = Field(5, description="k-core: users with fewer purchases are left out.")
    item_core: Count = Field(
        0, description="k-core: items bought less often are left out; 0 keeps the whole catalogue, bought or not."
    )
    max_users: Count = Field(0, description="Keep at most so many users, drawn by the seed; 0: all.")
    max_items: Count = Field(0, description="Keep at most so many items, the most bought first; 0: all.")
    max_history: Positive = Field(100, description="Keep the latest so many purchases of a user.")
    split: Literal["leave-last-out", "global-time"] = Field(
        "leave-last-out",
        description="'leave-last-out': the last purchase of each user is test, the one before it validation; comparable "
        "with the literature, but one user's training purchases may be later than another's test purchase. "
        "'global-time': two points in time for all; as in production, but few users have purchases on both sides.",
    )
    valid_share: Share = Field(0.1, description="global-time: share of purchases in validation.")
    test_share: Share = Field(0.1, description="global-time: share of purchases in test.")
    cold_share: Share = Field(0.03, description="Share of items whose text nothing may learn from, to measure new items.")


class GivenVectors(_Table):
    """Vectors of the items that the shop has already, of images for example."""

    name: str = Field(pattern=r"^[a-z][a-z0-9_]*$", description="What they are called, e.g. image.")
    file: str = Field(
        "",
        description="A table of item ids and lists of numbers (Parquet, JSONL, CSV), or .npy or .safetensors (a tensor "
        "'vectors') with the ids of its rows, one a line, in NAME.ids.txt beside it. Empty: the items table.",
    )
    column: str = Field("", description="Column of a table that holds the lists; empty: named as the vectors.")


class EmbedConfig(_Table):
    """Item text to unit vectors."""

    encoder: str = Field(
        "tfidf",
        description="'tfidf' (TF-IDF and truncated SVD; no download), or a sentence-transformers model by name or folder.",
    )
    dimension: Positive = Field(128, description="tfidf: width after the truncated SVD.")
    fields: tuple[Literal["title", "brand", "category", "features", "description"], ...] = Field(
        ("title", "brand", "category", "features", "description"), description="What goes into an item's text, in this order."
    )
    max_chars: Positive = Field(2000, description="An item's text is cut here, at a whole word.")
    batch_size: Positive = Field(64, description="sentence-transformers: texts a batch, of similar length.")
    device: str = Field("auto", description="sentence-transformers: 'auto', 'cpu', 'cuda'...")
    given: tuple[GivenVectors, ...] = Field(
        (),
        description="More vectors of the items, from your files: one [[embed.given]] each, with name, file and column "
        "(docs/catalogue.md). Items without one are counted.",
    )


class GateConfig(_Table):
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


class RqVaeConfig(_Table):
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


class QuantizeConfig(_Table):
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
        "grow", description="Where a group of ties is larger than tie_codes: grow the level and warn, or refuse the catalogue."
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


EVALUATED_TASKS = (
    "title_to_sid",
    "description_to_sid",
    "features_to_sid",
    "seq_last_2",
    "seq_last_3",
    "seq_last_5",
    "copurchase_forward",
    "copurchase_backward",
    "sid_to_title",
    "sid_to_description",
    "sid_to_features",
)
"""The 11 tasks of the reference, by its names."""

TRAINED_ONLY_TASKS = (
    "purchase_history",
    "sid_to_category",
    "sid_to_context",
    "title_start_to_sid",
    "title_middle_to_sid",
    "description_snippet_to_sid",
    "category_to_sid",
    "attributes_to_sid",
    "similar_items",
    "prefix_to_category",
    "prefix_to_examples",
    "category_transition",
    "bought_together",
)
"""Trained as well. ``purchase_history`` holds a whole history in one answer: every split point at once."""

TASKS = EVALUATED_TASKS + TRAINED_ONLY_TASKS


class ConverseConfig(_Table):
    """Items and histories to conversations."""

    weights: dict[str, Annotated[float, Field(ge=0.0)]] = Field(
        default_factory=dict,
        description="How often each example of a task is written: 0 never, 0.1 a tenth of them, 3 three times in different "
        "wordings. Tasks that are not named have the weight below.",
    )
    default_weight: float = Field(1.0, ge=0.0, description="Weight of every task not named in weights.")
    max_per_task: Count = Field(0, description="Cap on the conversations of one task, drawn by the seed; 0: none.")
    caps: dict[str, Count] = Field(default_factory=dict, description="The same for single tasks.")
    window: Positive = Field(4, description="Co-purchase: two purchases at most so many places apart.")
    max_history_items: Positive = Field(20, description="Items of a history that are shown to the model, the latest ones.")
    valid_per_task: Count = Field(300, description="Validation conversations of each task.")
    test_per_task: Count = Field(3000, description="Evaluation samples of each task; 0: all.")

    @model_validator(mode="after")
    def _known_tasks(self) -> ConverseConfig:
        for table in (self.weights, self.caps):
            for name in table:
                if name not in TASKS:
                    raise ValueError(f"unknown task {name!r}{nearest(name, TASKS)}")
        return self


class TinyModel(_Table):
    """Shape of the small Qwen3 that ``base_model = "tiny"`` builds, with random weights and its own tokenizer."""

    hidden: Positive = Field(128, description="Width.")
    layers: Positive = Field(3, description="Decoder layers.")
    heads: Positive = Field(4, description="Attention heads.")
    kv_heads: Positive = Field(2, description="Key and value heads.")
    head_dim: Positive = Field(32, description="Width of a head.")
    intermediate: Positive = Field(384, description="Width inside the MLP.")
    vocabulary: int = Field(4096, ge=300, description="Tokens of the byte-level BPE trained on the corpus.")
    max_position: Positive = Field(4096, description="Longest sequence.")


class StageConfig(_Table):
    """One training stage."""

    steps: Count = Field(0, description="Optimiser steps; 0: as many as the epochs make.")
    epochs: float = Field(1.0, ge=0.0, description="Passes over the conversations, where steps is 0.")
    tokens_per_step: Positive = Field(16384, description="Tokens that one optimiser step sees, over all micro-batches.")
    tokens_per_batch: Positive = Field(8192, description="Tokens of one packed micro-batch; less needs less memory.")
    learning_rate: float = Field(1e-3, gt=0.0, description="Peak learning rate.")
    min_learning_rate_ratio: Share = Field(0.2, description="Cosine schedule: the end, as a share of the peak.")
    warmup_ratio: Share = Field(0.03, description="Share of the steps with a rising learning rate.")
    weight_decay: float = Field(0.01, ge=0.0, description="AdamW's decoupled weight decay (matrices only).")
    beta2: float = Field(0.95, gt=0.0, lt=1.0, description="AdamW's second-moment decay.")
    clip: float = Field(1.0, gt=0.0, description="Largest gradient norm.")
    dropout: float = Field(0.0, ge=0.0, lt=1.0, description="Dropout after attention, MLP and embedding, from scratch.")
    optimizer: Literal["adamw", "adamw8bit"] = Field("adamw", description="'adamw8bit' needs the extra 'train8bit' (torchao).")
    gradient_checkpointing: bool = Field(False, description="Recompute activations: less memory, about a third slower.")
    checkpoint_minutes: float = Field(5.0, gt=0.0, description="Time between checkpoints.")
    keep_checkpoints: Positive = Field(2, description="How many checkpoints are kept.")
    valid_every: Count = Field(0, description="Steps between validation losses; 0: only at the end.")


class TrainConfig(_Table):
    """Vocabulary surgery and the two training stages."""

    base_model: str = Field("tiny", description="'tiny', a Hugging Face folder, or a hub name such as Qwen/Qwen3-1.7B.")
    tiny: TinyModel = Field(default_factory=TinyModel, description="Shape of the tiny model.")
    dtype: Literal["float32", "bfloat16"] = Field("float32", description="Master weights; bfloat16 wants adamw8bit.")
    compute: Literal["auto", "float32", "bfloat16"] = Field(
        "auto", description="Precision of the arithmetic; 'auto': bfloat16 where the machine is fast in it, masters keep dtype."
    )
    device: str = Field("auto", description="'auto', 'cpu', 'cuda'...")
    initial_rows: Literal["mean", "title-mean"] = Field(
        "title-mean", description="Start of the new rows: the mean row with noise, or the mean of title-token rows."
    )
    max_tokens: Positive = Field(1024, description="Longest conversation; a longer one is left out and counted.")
    vocabulary: StageConfig = Field(
        default_factory=lambda: StageConfig(steps=100), description="Stage 1: only the new rows learn."
    )
    full: StageConfig = Field(default_factory=StageConfig, description="Stage 2: everything learns.")


class RecommendConfig(_Table):
    """Decode items."""

    k: Positive = Field(10, description="Items a request.")
    beams: Positive = Field(20, description="Beams; raised to k where k is larger.")
    exclude_seen: bool = Field(False, description="Never recommend what the history holds.")
    batch_size: Positive = Field(64, description="Requests decoded at once.")
    users_per_part: Positive = Field(
        4096, description="All users: users of one part, the unit that is kept when the work is killed and that a worker takes."
    )
    device: str = Field("auto", description="'auto', 'cpu', 'cuda'...")
    dtype: Literal["auto", "float32", "bfloat16"] = Field(
        "auto", description="Precision of the arithmetic; 'auto': bfloat16 on a GPU, as the model was saved on a CPU."
    )


class EvaluateConfig(_Table):
    """Measure, beside baselines."""

    cutoffs: tuple[Positive, ...] = Field((5, 10), min_length=1, description="Cut-offs of Recall and NDCG.")
    max_users: Count = Field(0, description="Next item: so many users at most, drawn by the seed; 0: all.")
    beams: Positive = Field(20, description="Beams when decoding for evaluation.")
    text_tokens: Positive = Field(48, description="Longest generated text in the tasks that ask for text.")


class RunConfig(_Table):
    """Everything that decides the result of a run."""

    name: str = Field("run", pattern=r"^[A-Za-z0-9._-]+$", description="Name of the run; also its folder under runs/.")
    seed: Count = Field(0, description="The one seed. The same seed on CPU gives the same bytes.")
    ingest: IngestConfig = Field(default_factory=IngestConfig, description="Read, clean, filter, split.")
    embed: EmbedConfig = Field(default_factory=EmbedConfig, description="Item text to unit vectors.")
    quantize: QuantizeConfig = Field(default_factory=QuantizeConfig, description="Vectors to semantic IDs.")
    converse: ConverseConfig = Field(default_factory=ConverseConfig, description="Conversations to learn from.")
    train: TrainConfig = Field(default_factory=TrainConfig, description="Vocabulary surgery and training.")
    recommend: RecommendConfig = Field(default_factory=RecommendConfig, description="Decode items.")
    evaluate: EvaluateConfig = Field(default_factory=EvaluateConfig, description="Measure, beside baselines.")
