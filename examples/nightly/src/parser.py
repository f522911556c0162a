def parse(text):
    # TODO: accept tabs
    return text.split(" ")  # TODO: keep quoted words together
