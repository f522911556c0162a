# expect: ok
# ref, secret and output in every place that takes values
def workflow():
    build = Step.bash("build-app", "make", outputs={"type": "object", "properties": {"v": {"type": "string"}}})
    key, odd = Key("built", {"type": "object"}), Key("x-y")
    return Plan(
        name="References", context=[key, odd],
        env={"TOKEN": secret("TOKEN")},
        steps=[
            build,
            Step.bash("deploy", "./deploy.sh", depends_on=[build], when="steps['build-app'].status == 'success'",
                      env={"V": build.output("v"), "ALL": build.output(), "SAME": ref("build-app", "v"), "BY": ref(build)}),
            Step.bash("pack", "make", depends_on=["deploy"], writes=key),
            Step.bash("odd", "make", depends_on=["pack"], writes=odd),
            Step.bash("use", "true", depends_on=["odd"], when=ref(key, "files.0.ok"),
                      env={"A": ref(key), "B": ref(odd, "a-b"), "C": f"of {ref(key, 'v')}"}),
            Step.llm("notes", prompt=Prompt("code-review", files=["a", build.output("v")], version=build.output("v")), depends_on=[build]),
        ],
        outputs={"version": build.output("v")},
    )
