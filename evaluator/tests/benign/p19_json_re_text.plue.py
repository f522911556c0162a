# expect: ok
# json, re, textwrap, string, shlex, operator, copy, math
import copy
import json
import math
import operator
import re
import shlex
import string
import textwrap
from operator import itemgetter

CONFIG = json.loads('{"jobs": [{"id": "b", "n": 2}, {"id": "a", "n": 1.5}], "on": true, "none": null}')


def workflow():
    jobs = sorted(CONFIG["jobs"], key=itemgetter("id"))
    again = copy.deepcopy(CONFIG)
    again["jobs"][0]["id"] = "changed"
    assert CONFIG["jobs"][0]["id"] == "b"
    text = json.dumps(CONFIG, sort_keys=True, indent=2, separators=(",", ": "))
    try:
        json.loads("{")
    except json.JSONDecodeError as e:
        print(e.msg, e.lineno)
    pattern = re.compile(r"(?P<word>[a-z]+)-(\d+)", re.IGNORECASE | re.MULTILINE)
    found = pattern.search("Job-12")
    assert found and found.group("word") == "Job" and found[2] == "12" and found.groupdict() == {"word": "Job"}
    assert re.sub(r"\W+", "-", "a b!c") == "a-b-c" and re.findall("[0-9]", "a1b2") == ["1", "2"]
    script = textwrap.dedent("""
        set -e
        make %s
    """ % shlex.quote("it's")).strip()
    wrapped = textwrap.fill("one two three four five", width=10)
    template = string.Template("hello $name").substitute(name="x")
    assert operator.add(1, 2) == 3 and math.ceil(1.2) == 2 and math.isqrt(17) == 4 and math.log2(8) == 3.0
    assert shlex.split("a 'b c'") == ["a", "b c"] and string.ascii_lowercase[:3] == "abc"
    steps = [Step.bash(j["id"], script) for j in jobs]
    return Plan(name="Library", description=template, steps=steps + [Step.bash("config", f"cat <<'EOF'\n{text}\n{wrapped}\nEOF")])
