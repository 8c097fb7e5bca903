"""The challenge-set builder: photographs, an edit of each, and a caption for either."""
