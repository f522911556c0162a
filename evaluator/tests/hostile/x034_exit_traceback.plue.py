# expect: error
# tries: the traceback handed to __exit__
# class: frames
class C:
    t = None
    def __enter__(self):
        return 1
    def __exit__(self, k, v, t):
        C.t = t.tb_frame
        return True
with C():
    1 / 0
def workflow():
    x = C.t
    return Plan(name="x", triggers=[], steps=[Step.bash("a", str(x)[:5000] or "empty")])
