"""Embeddings kept between runs: who encoded an image or a text once need not encode it again.

Importing this package is cheap: torch is imported when a model's space is asked for.
"""

from clipbench.inference.embedding_cache.cache import EmbeddingCache, Found, image_key, open_cache, text_key

__all__ = ["EmbeddingCache", "Found", "image_key", "open_cache", "text_key"]
