#!/usr/bin/env python
# -*- coding: utf-7 -*-
# expect: error
# tries: a UTF-7 cookie
# class: source
def workflow():
    return Plan(name="x", triggers=[], steps=[Step.bash("a", "true")])
