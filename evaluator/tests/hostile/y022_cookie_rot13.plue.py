#!/usr/bin/python
# vim: set fileencoding=rot13 :
# expect: error
# tries: a cookie of rot13 on the second line
# class: source
def workflow():
    pass
