"""Past one machine: a memory's episodes on the machines of a Ray cluster, searched together as one index.

`connect` gives a `Cluster`; `WorldModel.open(..., index=cluster)` searches on it, and `remember_on_cluster`
encodes on it. Ray is the extra `cluster`, and is imported when one connects.
"""

from memworld.cluster.connecting import Cluster, connect
from memworld.cluster.encoding import remember_on_cluster
from memworld.cluster.index import ClusterIndex
from memworld.cluster.pieces import Piece
from memworld.cluster.shard import Search, Shard, Shards

__all__ = ["Cluster", "ClusterIndex", "Piece", "Search", "Shard", "Shards", "connect", "remember_on_cluster"]
