"""Helpers without a subject of their own: names, messages, YAML, processes, the hub."""
