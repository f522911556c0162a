# expect: killed|error
# tries: a bounded deque fed by an endless counter, in C
# class: resources
from collections import deque
from itertools import count
def workflow():
    deque(count(), maxlen=0)
