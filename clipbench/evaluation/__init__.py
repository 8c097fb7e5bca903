"""Evaluation: tasks and a model in, a result for each task out."""
