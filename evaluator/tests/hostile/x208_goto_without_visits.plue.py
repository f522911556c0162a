# expect: error
# tries: a Goto without max_visits
# class: plan
def workflow():
    return Plan("x", steps=[Step.bash("a", "1"), Step.bash("b", "1", depends_on=["a"], on_failure=Goto("a"))])
