"""The names of ``plue.orchestration`` under a short module name: ``from orchestrator import Orchestrator``.

Must not hold anything of its own.
"""

from plue.orchestration import *  # noqa: F403
from plue.orchestration import __all__ as __all__
