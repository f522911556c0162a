# expect: error|killed
# tries: a deque filled by cycle
# class: resources
from collections import deque
from itertools import cycle
def workflow():
    deque(cycle("ab"))
