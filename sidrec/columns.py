"""Every column name of every artefact, once.

A table that crosses a room's door is a polars frame whose columns are spelled only here.
"""

from typing import Final

# items.parquet: row i is item i
ITEM_ID: Final = "item_id"  # str, the shop's own id
TITLE: Final = "title"  # str, cleaned, never empty
DESCRIPTION: Final = "description"  # str, "" where the shop has none
FEATURES: Final = "features"  # list[str]
BRAND: Final = "brand"  # str, "" where unknown
CATEGORY: Final = "category"  # list[str], from the broadest to the narrowest
PRICE: Final = "price"  # float64 or null
COLD: Final = "cold"  # bool: the text of this item is kept out of everything that learns
# behind these, the columns that the config asks for (ingest.tables.columns.attributes), under the shop's own names

# made for filters from the training purchases, stored nowhere
POPULARITY: Final = "popularity"  # float64: purchases
NOVELTY: Final = "novelty"  # float64: bits
ITEM_COLUMNS: Final = (ITEM_ID, TITLE, DESCRIPTION, FEATURES, BRAND, CATEGORY, PRICE, COLD, POPULARITY, NOVELTY)

# histories.parquet: one row a user
USER_ID: Final = "user_id"  # str
ITEMS: Final = "items"  # list[int32], item indices in time order
TIMES: Final = "times"  # list[int64], same length, in the source's own unit
TRAIN_END: Final = "train_end"  # int32: items[:train_end] may be learned from
VALID_END: Final = "valid_end"  # int32: items[train_end:valid_end] is validation, the rest is test

# dropped.parquet: one row for every source row that was left out
KIND: Final = "kind"  # "item", "interaction" or "user"
REASON: Final = "reason"  # a short stable slug, e.g. "missing_title"
SOURCE: Final = "source"  # file name, or "" for a derived row
LINE: Final = "line"  # int64, 1-based line or row of the source file; null for a derived row
KEY: Final = "key"  # the id concerned, "" if it has none
DETAIL: Final = "detail"  # what was found, shortened

# codes.parquet
ITEM_INDEX: Final = "item_index"  # int32
CODES: Final = "codes"  # list[int32], one a level, the tie level last

# registry.parquet: one row an item that ever had a code, in the order in which the codes were given
SINCE: Final = "since"  # int32, the version of the catalogue in which the item got its code
RETIRED: Final = "retired"  # int32, the version since which it is not on offer; null where it is
ABSENT: Final = "absent"  # bool, retired only because a rebuilt catalogue lacked it
TEXT: Final = "text"  # str, fingerprint of the item's text

# conversations
TASK: Final = "task"  # str, a name of the task registry
MESSAGES: Final = "messages"  # list[struct{role, content}]
SPANS: Final = "spans"  # list[list[int32]]: for each message, start, end, start, end... of its SID tokens

# recommendations; and item_index, item_id
USER: Final = "user"
RANK: Final = "rank"  # int32 from 1
SCORE: Final = "score"  # float32, log-probability
EXACT: Final = "exact"  # bool, the certificate of the answer that the row belongs to
