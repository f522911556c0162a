#!/usr/bin/env python3
"""Draws a terminal recording as SVG: `tmux capture-pane -e -p | terminal_picture.py > picture.svg`.

Knows the colours that plue uses (SGR 0, 1, 2, 30-37, 39, 49) and nothing else.
"""

import html
import re
import sys

WIDTH, HEIGHT, PAD = 8.4, 19, 16
COLORS = {31: "#ff6b68", 32: "#6cc26c", 33: "#d9b54a", 34: "#6c9ef8", 35: "#c792ea", 36: "#56c2c8"}
PLAIN = "#d4d4d4"


def spans(line):
    """The parts of a line, each with its colour and weight."""
    color, bold, dim = PLAIN, False, False
    for part in re.split(r"(\x1b\[[0-9;]*m)", line):
        if not part.startswith("\x1b["):
            if part:
                yield part, "#8a8a8a" if dim else color, bold
            continue
        for code in [int(text or 0) for text in part[2:-1].split(";")]:
            if code == 0:
                color, bold, dim = PLAIN, False, False
            elif code == 1:
                bold = True
            elif code == 2:
                dim = True
            elif code == 39:
                color, dim = PLAIN, False
            elif code in COLORS:
                color = COLORS[code]


def main():
    lines = sys.stdin.read().rstrip("\n").split("\n")
    columns = max(len(re.sub(r"\x1b\[[0-9;]*m", "", line)) for line in lines)
    width, height = columns * WIDTH + 2 * PAD, len(lines) * HEIGHT + 2 * PAD
    print(f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width:.0f} {height:.0f}" role="img">')
    print("<title>A run in a terminal</title>")
    print(f'<rect width="{width:.0f}" height="{height:.0f}" rx="8" fill="#1e1e1e"/>')
    print('<g font-family="DejaVu Sans Mono, Menlo, Consolas, monospace" font-size="14" xml:space="preserve">')
    for row, line in enumerate(lines):
        column = 0
        for text, color, bold in spans(line):
            x, y = PAD + column * WIDTH, PAD + (row + 0.75) * HEIGHT
            weight = ' font-weight="bold"' if bold else ""
            length = f' textLength="{len(text) * WIDTH:.1f}"'
            print(f'<text x="{x:.1f}" y="{y:.1f}" fill="{color}"{weight}{length}>{html.escape(text)}</text>')
            column += len(text)
    print("</g></svg>")


if __name__ == "__main__":
    main()
