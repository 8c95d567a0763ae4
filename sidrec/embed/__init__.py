"""Item text to unit vectors."""

from sidrec.embed.sentence import SentenceEncoder
from sidrec.embed.stage import ItemEncoder, embed, encode_items, load_encoder
from sidrec.embed.texts import item_texts
from sidrec.embed.tfidf import TfidfEncoder

__all__ = ["ItemEncoder", "SentenceEncoder", "TfidfEncoder", "embed", "encode_items", "item_texts", "load_encoder"]
