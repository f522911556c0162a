# expect: ok
# print many
def workflow():
    print()
    print('a', end='')
    print([1], {'a': 2}, sep='|', flush=True)
    return Plan('x', steps=[Step.bash('a', 'b')])
