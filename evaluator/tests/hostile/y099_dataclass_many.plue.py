# expect: error|killed
# tries: dataclasses made in a loop
# class: resources
from dataclasses import dataclass
def workflow():
    while True:
        @dataclass(order=True)
        class A:
            x: int = 0
