"""Test builds only: the names a workflow file expects, without any policy."""

import builtins
import json
import sys


class Anything:
    """Answers every attribute and call with a record of it."""

    def __init__(self, record):
        self.__dict__["record"] = record

    def __getattr__(self, name):
        return Anything({"of": self.record, "name": name})

    def __call__(self, *arguments, **keywords):
        return Anything({"call": self.record, "arguments": arguments, "keywords": keywords})


def plain(value):
    return value.record if isinstance(value, Anything) else repr(value)


NAMES = {name: Anything(name) for name in ("Plan", "Step", "Trigger", "Artifact", "Check", "plue")}
sys.modules["plue"] = NAMES["plue"]


def names():
    return dict(NAMES, __name__="__workflow__", __builtins__=builtins)


def finish(space):
    return json.dumps(space["workflow"](), default=plain)
