# expect: needs|ok
import json


def workflow(ctx):
    branch = (ctx.event and ctx.event.branch) or "main"
    packages = sorted({p.split("/")[1] for p in ctx.changed_files if p.startswith("packages/")})
    conf = json.loads(ctx.read("ci.json")) if ctx.exists("ci.json") else {"packages": packages}
    files = list(ctx.glob("packages/*/package.json"))
    steps = [Step.bash(f"test-{p}", f"npm test -w {p}") for p in conf.get("packages", [])]
    return Plan(name=f"affected on {branch} ({len(files)})", steps=steps or [Step.bash("noop", "true")])
