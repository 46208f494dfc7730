"""The same functions on folders of Parquet files, for more prompts than one machine's memory holds.

A file is a partition. Each function runs on the partitions, by default in two worker processes on this machine, with
``client="tcp://..."`` on any Dask cluster that sees the same folders, and combines exactly: operating points are merged
in order, sums are added, intervals come from what is added. Finished partitions are kept, and a run that was broken
off goes on from there. Needs ``pip install 'routerlab[scale]'``.
"""

from routerlab.exceptions import ClusterError, PartitionError, SpillError
from routerlab.scale._merged_frontier import frontier_parquet
from routerlab.scale._partitioned import embed_parquet, route_parquet, sweep_parquet
from routerlab.scale._totals import savings_parquet

__all__ = [
    "ClusterError",
    "PartitionError",
    "SpillError",
    "embed_parquet",
    "frontier_parquet",
    "route_parquet",
    "savings_parquet",
    "sweep_parquet",
]
