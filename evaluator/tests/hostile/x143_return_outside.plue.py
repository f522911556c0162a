# expect: error
# tries: return outside a function
# class: source
return 1
