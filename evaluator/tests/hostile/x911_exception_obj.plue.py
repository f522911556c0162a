# expect: error
# tries: the object of an AttributeError
# class: frames
def workflow():
    try:
        (1).foo
    except AttributeError as e:
        return Plan('x', steps=[Step.bash('a', str(e.obj))])
