# expect: error|killed
# tries: constants that the compiler folds
# class: resources
X = (((("a" * 4096) * 4096) * 4096) * 4096)
Y = 9 ** 9 ** 9
def workflow():
    return Plan(name="x", triggers=[Trigger.on_push(branch="main")], steps=[Step.bash("a", str(len(X)))])
