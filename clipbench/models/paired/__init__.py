"""Any image encoder of transformers beside any text encoder, each with a projection into a shared space."""
