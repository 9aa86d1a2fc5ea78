"""Examples in shards, here or far away: packing, indexing, fetching, and the order of a stream."""

from quickstudy.shards.fetching import Store
from quickstudy.shards.foreign import index_parquet, index_tars
from quickstudy.shards.index import INDEX, Index, Names, Shard, read_index
from quickstudy.shards.order import Order
from quickstudy.shards.packing import Packed, pack
from quickstudy.shards.places import Places, is_far, open_places

__all__ = [
    "INDEX",
    "Index",
    "Names",
    "Order",
    "Packed",
    "Places",
    "Shard",
    "Store",
    "index_parquet",
    "index_tars",
    "is_far",
    "open_places",
    "pack",
    "read_index",
]
