# expect: error|killed
# tries: return in finally hides an error of the guard
# class: classes
def workflow():
    try:
        return ().__class__
    finally:
        return Plan(name="x", steps=[Step.bash("a", "x")])
