# expect: error
# tries: a byte order mark in the middle
# class: source
def workflow():
    return ﻿Plan(name="x", steps=[])
