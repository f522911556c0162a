# expect: error
# tries: finally swallows the end after too much print
# class: exceptions
def workflow():
    try:
        while True:
            print('x' * 10000)
    finally:
        return Plan(name="x", triggers=[], steps=[Step.bash("a", "true")])
