"""Embeddings kept between runs, so that no image or text is encoded twice.

Importing this package is cheap: torch is imported for a model's feature key only.
"""

from clipbench.inference.embedding_cache.cache import CacheHit, EmbeddingCache, image_key, open_cache, text_key

__all__ = ["CacheHit", "EmbeddingCache", "image_key", "open_cache", "text_key"]
