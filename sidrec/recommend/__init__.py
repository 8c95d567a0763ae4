"""A trained model and a catalogue to ranked items: trie, filters inside the search, constrained beam search."""

from sidrec.recommend.batcher import Batcher
from sidrec.recommend.explain import Considered, Explanation
from sidrec.recommend.filters import Alive
from sidrec.recommend.loading import load_model, resolve_device
from sidrec.recommend.recommender import Recommender
from sidrec.recommend.swap import Answered, Asked, LiveRecommender, Snapshot
from sidrec.recommend.text import generate_text
from sidrec.recommend.trie import Trie

__all__ = [
    "Alive",
    "Answered",
    "Asked",
    "Batcher",
    "Considered",
    "Explanation",
    "LiveRecommender",
    "Recommender",
    "Snapshot",
    "Trie",
    "generate_text",
    "load_model",
    "resolve_device",
]
