# expect: killed|error
# tries: sum of an endless counter, in C
# class: resources
from itertools import count
def workflow():
    sum(count())
