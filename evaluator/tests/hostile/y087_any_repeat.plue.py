# expect: killed|error
# tries: any(repeat(0))
# class: resources
from itertools import repeat
def workflow():
    any(repeat(0))
