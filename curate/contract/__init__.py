"""The contract between the framework and stages.

A stage declares what it reads, what it makes and what its results depend on; batching, memory of
results, failures, ids and books belong to the runner. Nothing here imports polars, numpy or a model
library, so that declaring stages costs nothing.
"""

API_VERSION = 1
