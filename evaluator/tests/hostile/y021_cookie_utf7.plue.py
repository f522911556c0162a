# -*- coding: utf-7 -*-
# expect: error
# tries: a coding cookie of UTF-7
# class: source
def workflow():
    pass
