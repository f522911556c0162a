"""Turns titles into parts of addresses."""


def slug(title: str) -> str:
    return title.strip().replace(" ", "-")
