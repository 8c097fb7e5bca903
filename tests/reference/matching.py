"""The paper's matching rule spelled out step by step, with none of the cleverness of one pattern."""

import re


def first_keyword(caption: str, keywords: list[str]) -> str | None:
    """The leftmost keyword, the longest at one place; by padding and searching for each in turn."""
    text = re.sub(r"[,.;@#?!&$]+", " ", caption)
    text = " " + " ".join(text.split()) + " "
    places = [(text.find(f" {keyword} "), -len(keyword), keyword) for keyword in keywords]
    places = [place for place in places if place[0] >= 0]
    return min(places)[2] if places else None
