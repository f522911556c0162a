# expect: killed|error
# tries: an Enum with a million members
# class: resources
from enum import Enum
def workflow():
    for n in range(10_000_000):
        class E(Enum):
            A = n
