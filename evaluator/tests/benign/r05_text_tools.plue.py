# expect: ok
import json
import re
import shlex
import string
import textwrap
from string import Template

SCRIPT = """
    set -euo pipefail
    for f in *.tar.gz; do
        sha256sum "$f"
    done
"""


def workflow():
    args = shlex.join(["--label", "it's", "a b"])
    slug = re.sub(r"[^a-z0-9]+", "-", "Hello, World! 2024".lower()).strip("-")
    note = Template("release of $name ($$5)").substitute(name=slug)
    table = str.maketrans({"-": "_"})
    body = json.dumps({"text": note, "n": [1, 2.5, None, True]}, sort_keys=True, indent=2)
    return Plan(
        name=string.capwords("nightly release"),
        steps=[
            Step.bash("sums", textwrap.dedent(SCRIPT).strip()),
            Step.bash("notify", f"curl -d {shlex.quote(body)} {args} https://example.invalid/{slug.translate(table)}"),
            Step.bash("wide", "echo " + textwrap.shorten("a " * 100, 20) + f"{3.14159:>10.2f}|{'x':^5}|{1_000_000:,}|{255:#06x}"),
        ],
    )
