# expect: ok
# format spec obj
class M:
    def __format__(self, s):
        return 'M' + s
def workflow():
    return Plan(name="x", triggers=[], steps=[Step.bash("a", str((f'{M():x}', '{:y}'.format(M()), format(M(), 'z')))[:500] or "e")])
