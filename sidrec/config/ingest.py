"""Read, clean, filter, split."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, field_validator

from sidrec import columns as c
from sidrec.config.base import Count, Positive, Share, Table


class DemoSource(Table):
    """The simulated pet-supplies shop that comes with sidrec."""

    products: int = Field(2000, ge=50, description="Products in the simulated catalogue.")
    customers: int = Field(5000, ge=50, description="Customers who buy from it.")


class ColumnMap(Table):
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


class TablesSource(Table):
    """Your own tables: CSV, TSV, JSONL or Parquet, gzipped or not, told by the file's ending."""

    folder: str = Field("", description="Folder of the files below; relative to the config file.")
    items: str = Field("items.csv", description="The catalogue, one row an item.")
    interactions: str = Field("interactions.csv", description="The purchase log, one row a purchase.")
    columns: ColumnMap = Field(default_factory=ColumnMap, description="Which column holds what.")
    category_separator: str = Field(">", description="Splits a category path given as one text.")


class AmazonSource(Table):
    """Amazon Reviews 2023, by category, from local files or downloaded with huggingface_hub."""

    category: str = Field("Pet_Supplies", description="Category as in the file names, e.g. Pet_Supplies.")
    folder: str = Field("", description="Folder with the files; empty: download to the Hugging Face cache.")
    interactions: Literal["5core", "reviews"] = Field(
        "5core", description="'5core': the 5-core rating CSV; 'reviews': the raw review JSONL."
    )


class IngestConfig(Table):
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
