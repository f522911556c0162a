def show(words):
    return " ".join(words)
