# expect: error
# tries: a workflow that is a plan
# class: plan
workflow = Plan("x", steps=[Step.bash("a", "true")])
