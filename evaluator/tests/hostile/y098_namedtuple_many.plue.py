# expect: error|killed
# tries: a namedtuple with 10,000 fields, many times
# class: resources
from collections import namedtuple
def workflow():
    while True:
        namedtuple("A", ["f%d" % n for n in range(10_000)])
