"""The local web page of the challenge-set builder."""
