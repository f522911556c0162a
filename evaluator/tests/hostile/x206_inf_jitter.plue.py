# expect: error
# tries: an infinite jitter
# class: plan
def workflow():
    return Plan("x", steps=[Step.bash("a", "1", retry=Retry(jitter=float("inf")))])
