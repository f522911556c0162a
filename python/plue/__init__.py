"""The words of plue workflow files, for editors and type checkers, and without the engine.

In a workflow file every name here exists without an import; importing them changes nothing. ``python3 -m plue FILE``
prints the canonical plan that ``plue plan --output json`` prints. It trusts the file: only the engine's evaluator runs
untrusted files in a jail, and only the engine validates plans.

``plue.orchestration`` has workers that are functions of your program, led by the engine; a workflow file has no use for
it.
"""

from plue._context import Context, Record
from plue._references import Reference, ref, secret, template
from plue._settings import (
    Artifacts,
    Budget,
    Cache,
    Checkout,
    Concurrency,
    Goto,
    Input,
    Key,
    Mcp,
    Prompt,
    Retry,
    Service,
)
from plue._words import Hooks, Plan, Step, Trigger

__all__ = [
    "Artifacts",
    "Budget",
    "Cache",
    "Checkout",
    "Concurrency",
    "Context",
    "Goto",
    "Hooks",
    "Input",
    "Key",
    "Mcp",
    "Plan",
    "Prompt",
    "Record",
    "Reference",
    "Retry",
    "Service",
    "Step",
    "Trigger",
    "ref",
    "secret",
    "template",
]
__version__ = "0.1.0"
