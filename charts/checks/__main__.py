"""`python -m checks` in the folder charts: renders, lints and checks the chart; a summary comes last."""

from __future__ import annotations

import argparse
import sys
import time

from . import documents, mutations, policy, program, rendered
from .files import CHART, HELM, Report, value_sets


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m checks", description=__doc__)
    parser.add_argument("--write", action="store_true", help="write README, descriptions and golden files first")
    parser.add_argument("--fast", action="store_true", help="leave out the mutations and the built program")
    arguments = parser.parse_args()
    if not HELM.exists():
        print(f"chart: {HELM} is missing; scripts/setup.sh test fetches it", file=sys.stderr)
        return 2
    report = Report()
    begin = time.monotonic()
    sets = value_sets("values")
    documents.check(report, arguments.write)
    output = rendered.render(CHART, sets, report)
    rendered.same_by_helm_4(CHART, sets, output, report)
    rendered.fits_kubernetes(output, report)
    policy.check(output, report)
    policy.selectors(output, report, arguments.write)
    documents.metrics(output, report)
    documents.golden(output, report, arguments.write)
    rendered.refusals(CHART, value_sets("refused"), report)
    if not arguments.fast:
        program.check(output, report)
        mutations.check(report)
    for problem in report.problems:
        print(problem)
    counts = ", ".join(f"{number} {what}" for what, number in report.counts.items())
    print(f"chart: {counts}: {len(report.problems)} problems in {time.monotonic() - begin:.0f} s", file=sys.stderr)
    return 1 if report.problems else 0


sys.exit(main())
