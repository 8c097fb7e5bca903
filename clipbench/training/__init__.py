"""Fine-tuning with hard negatives: pairs, negatives, loss, loop, checkpoints (§3 of the paper)."""
