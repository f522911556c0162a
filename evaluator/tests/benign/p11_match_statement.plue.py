# expect: ok
# structural pattern matching of every form
from dataclasses import dataclass


@dataclass
class Job:
    kind: str
    target: str


def command(value):
    match value:
        case str() as text:
            return text
        case [first, *rest]:
            return " ".join([first, *rest])
        case {"run": run, **rest}:
            return f"{run} {len(rest)}"
        case Job("make", target):
            return f"make {target}"
        case Job(kind="npm", target=target):
            return f"npm run {target}"
        case 1 | 2 as number:
            return f"seq {number}"
        case int(n) if n > 2:
            return f"sleep {n}"
        case None:
            return "true"
        case _:
            raise ValueError("unknown")


def workflow():
    values = ["ls", ["echo", "a", "b"], {"run": "x", "y": 1}, Job("make", "all"), Job("npm", "test"), 2, 7, None]
    return Plan(name="Match", steps=[Step.bash(f"s{i}", command(v)) for i, v in enumerate(values)])
