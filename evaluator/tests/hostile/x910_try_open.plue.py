# expect: error
# tries: a removed builtin inside try
# class: exceptions
def workflow():
    try:
        x = open('/etc/passwd').read()
    except Exception as e:
        x = e
    return Plan('x', steps=[Step.bash('a', str(x))])
