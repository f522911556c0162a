# expect: ok
# raise from
class E(Exception):
    pass
def workflow():
    try:
        try:
            1 / 0
        except ZeroDivisionError as e:
            raise E('x') from e
    except E as e:
        m = str(e)
    return Plan(m, steps=[Step.bash('a', 'b')])
