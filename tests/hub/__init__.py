"""A small Hugging Face hub on the loopback interface, and the tests that run real clients against it."""
