# expect: ok
# any script in texts, names and prompts
def workflow():
    # Grüße, 世界, émoji ✔️
    return Plan(name="Überprüfung 世界", description="naïve ✔️", steps=[Step.bash("a", "echo 'schöne Grüße 👍'", name="Größe")])
