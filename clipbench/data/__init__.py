"""Sources of rows: the hub, published raw layouts, and any folder or table of images.

Importing this package is cheap: datasets, pyarrow and Pillow are imported on first use.
"""

from __future__ import annotations

from clipbench.data.dataset import Dataset, HubTable, Provenance, Source, TrainingSplit
from clipbench.data.opening import open_source

__all__ = ["Dataset", "HubTable", "Provenance", "Source", "TrainingSplit", "open_source"]
