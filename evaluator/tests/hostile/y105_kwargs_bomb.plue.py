# expect: killed|error
# tries: a call with ten million keywords
# class: resources
def g(**k):
    return len(k)
def workflow():
    return Plan(name="x", triggers=[Trigger.on_push(branch="main")], steps=[Step.bash("a", str(g(**{str(n): n for n in range(10_000_000)})))])
