# expect: error
# tries: a dunder attribute in letters that normalise to ASCII
# class: source
def workflow():
    x = ().__𝒸𝓁𝒶𝓈𝓈__
    return Plan(name="x", triggers=[Trigger.on_push(branch="main")], steps=[Step.bash("a", str(x))])
