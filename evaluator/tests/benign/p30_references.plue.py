# expect: ok
# ref, secret and output in every place that takes values
def workflow():
    build = Step.bash("build-app", "make", outputs={"type": "object", "properties": {"v": {"type": "string"}}})
    return Plan(
        name="References",
        env={"TOKEN": secret("TOKEN")},
        steps=[
            build,
            Step.bash("deploy", "./deploy.sh", depends_on=[build], when="steps['build-app'].status == 'success'",
                      env={"V": build.output("v"), "ALL": build.output(), "SAME": ref("build-app", "v"), "BY": ref(build)}),
            Step.llm("notes", prompt=Prompt("code-review", files=["a", build.output("v")], version=build.output("v")), depends_on=[build]),
        ],
        outputs={"version": build.output("v")},
    )
