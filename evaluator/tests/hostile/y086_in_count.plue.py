# expect: killed|error
# tries: membership in an endless counter, in C
# class: resources
from itertools import count
def workflow():
    -1 in count()
