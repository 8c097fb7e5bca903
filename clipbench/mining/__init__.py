"""Mining: the captions of a collection that hold a concept's keyword, with hard negatives, for training."""
