# expect: killed|error
# tries: iter(callable, sentinel) without an end
# class: builtins
def workflow():
    for _ in iter(int, 1):
        pass
