# A review of each pull request: the changed files are collected, a reviewer reads them.
COLLECT = '''\
import json, os, subprocess

base = os.environ["BASE"] or "HEAD~1"
git = lambda *args: subprocess.run(["git", *args], check=True, capture_output=True, text=True).stdout
paths = git("diff", "--name-only", "-z", base, "--").split(chr(0))
files = [{"path": path, "diff": git("diff", base, "--", path)[:20000]} for path in paths if path][:50]
with open(os.environ["PLUE_OUTPUT"], "w") as file:
    json.dump({"files": files}, file)
'''


def workflow():
    return Plan(
        name="@@name@@",
        triggers=[Trigger.on_pull_request()],
        max_parallel=3,
        steps=[
            Step.python("changes", COLLECT, env={"BASE": "@@base@@"}),
            Step.llm(
                "review",
                Prompt("code-review", files=ref("changes", "files")),
                role="reviewer",
                depends_on=["changes"],
                max_turns=20,
                budget=Budget(usd=2),
            ),
        ],
        outputs={"review": ref("review")},
    )
