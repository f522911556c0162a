# expect: killed|error
# tries: deeply nested JSON
# class: resources
import json
def workflow():
    return json.loads('[' * 100000)
