#!/usr/bin/env python3
"""Draws docs/session.svg: a real run of docfetch in a pseudo-terminal, against the sandbox.

    cargo build --release
    pip install pyte            # the terminal emulator, from the Python package index
    python3 docs/session.py

Each command of SESSION runs in one terminal; the picture shows the screen at the end of each command. The last
command runs until its progress bars are half full.
"""

import fcntl
import html
import os
import pty
import re
import shutil
import signal
import struct
import subprocess
import sys
import tempfile
import termios
from pathlib import Path

import pyte

ROOT = Path(__file__).resolve().parent.parent
DOCFETCH = ROOT / "target/release/docfetch"
PICTURE = ROOT / "docs/session.svg"
COLUMNS, ROWS = 92, 40

# Name, size in KiB, and time of the last change of each document that the sandbox serves.
DOCUMENTS = [
    ("Board deck Q3 2026.pdf", 5200, "2026-10-14T08:30:00"),
    ("Cap table.xlsx", 48, "2026-10-02T16:05:00"),
    ("KPI workbook Q3 2026.xlsx", 2900, "2026-10-01T11:45:00"),
    ("Umsätze & Ausblick.csv", 4100, "2026-09-28T09:12:00"),
]
SPEED = "1M"  # bytes a second of each document
LAST = "docfetch sync sm portfolio"
SESSION = ["docfetch list sm", "docfetch sm nosuchid", LAST]

# Pixels, and the colours of a dark terminal.
CELL, LINE, MARGIN, FONT = 8.4, 19, 16, 14
BACKGROUND, TEXT, PROMPT = "#16191d", "#d5d8dc", "#7fb3d5"
COLOURS = {"red": "#ef6b73", "green": "#8cc265", "cyan": "#4fb4c4", "brown": "#d9b45b", "blue": "#6ca8e8"}


class DimScreen(pyte.Screen):
    """A screen that keeps the attribute "dim" (SGR 2), which pyte drops, as italics."""

    def select_graphic_rendition(self, *attributes, private=False):
        kept = tuple(3 if attribute == 2 else attribute for attribute in attributes)
        super().select_graphic_rendition(*kept)


def serve(folder):
    """Starts a sandbox that serves `folder`; returns its process and the variables that it prints."""
    command = [DOCFETCH, "sandbox", "--dir", folder, "--fault", f"throttle={SPEED}"]
    sandbox = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    variables = {}
    while "DOCFETCH_STATE_DIR" not in variables:
        name, value = sandbox.stdout.readline().removeprefix("export ").strip().split("=", 1)
        variables[name] = value.strip("'")
    return sandbox, variables


def half_full(screen):
    """Whether the bars of the documents show that half of the bytes arrived."""
    text = "\n".join(screen.display)
    bars = re.findall(r"([\d.]+) MiB/([\d.]+) MiB", text)
    return len(bars) >= 3 and 2 * sum(float(a) for a, _ in bars) > sum(float(b) for _, b in bars)


def run(command, screen, environment, folder):
    """Runs a command in a pseudo-terminal and feeds its output to the screen."""
    stream = pyte.ByteStream(screen)
    child, terminal = pty.fork()
    if child == 0:
        os.chdir(folder)
        os.execve(DOCFETCH, command.split(), environment)
    fcntl.ioctl(terminal, termios.TIOCSWINSZ, struct.pack("HHHH", ROWS, COLUMNS, 0, 0))
    while True:
        try:
            piece = os.read(terminal, 4096)
        except OSError:  # the last program on this terminal ended
            break
        stream.feed(piece)
        if command == LAST and half_full(screen):
            os.kill(child, signal.SIGKILL)
            break
    os.waitpid(child, 0)
    os.close(terminal)


def cells(screen):
    """The lines of a screen without the empty ones at its end, as lists of characters with their style."""
    lines = [[screen.buffer[row][column] for column in range(COLUMNS)] for row in range(ROWS)]
    while lines and not "".join(cell.data for cell in lines[-1]).strip():
        lines.pop()
    return lines


def style(cell):
    """The SVG attributes of a character."""
    colour = COLOURS.get(cell.fg, TEXT)
    dim = ' fill-opacity="0.55"' if cell.italics else ""
    return f'fill="{colour}"' + dim + (' font-weight="bold"' if cell.bold else "")


def word(text, column, y, attributes):
    """A word at its column, stretched to its columns, so that every font shows the same table."""
    x, width = MARGIN + CELL * column, CELL * len(text)
    return f'<text x="{x:.1f}" y="{y}" textLength="{width:.1f}" {attributes}>{html.escape(text)}</text>'


def words(line, y):
    """The words of a line; a word has one style."""
    column = 0
    while column < len(line):
        end = column + 1
        while end < len(line) and style(line[end]) == style(line[column]):
            end += 1
        text = "".join(cell.data for cell in line[column:end])
        for found in re.finditer(r"\S+", text):
            yield word(found[0], column + found.start(), y, style(line[column]))
        column = end


def draw(session):
    """The SVG of all commands and their screens."""
    parts, y = [], MARGIN + FONT
    for command, lines in session:
        parts.append(word("$", 0, y, f'fill="{PROMPT}"'))
        parts.append(word(command, 2, y, f'fill="{TEXT}" font-weight="bold"'))
        for line in lines:
            y += LINE
            parts.extend(words(line, y))
        y += LINE + LINE // 2
    width, height = 2 * MARGIN + CELL * COLUMNS, y - LINE
    family = "ui-monospace, SFMono-Regular, Menlo, Consolas, 'DejaVu Sans Mono', monospace"
    return "\n".join([
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width:.0f} {height}" width="{width:.0f}"'
        f' height="{height}" font-family="{family}" font-size="{FONT}" xml:space="preserve">',
        "<title>A terminal: docfetch lists documents, reports an error, and mirrors documents with bars</title>",
        f'<rect width="100%" height="100%" rx="8" fill="{BACKGROUND}"/>',
        *parts,
        "</svg>\n",
    ])


def main():
    if not DOCFETCH.exists():
        sys.exit(f"{DOCFETCH} does not exist: run cargo build --release")
    work = Path(tempfile.mkdtemp(prefix="docfetch-session-"))
    served, folder = work / "served", work / "folder"
    served.mkdir()
    folder.mkdir()
    for name, size, changed in DOCUMENTS:
        (served / name).write_bytes(os.urandom(size << 10))
        subprocess.run(["touch", "-d", changed + "Z", served / name], check=True)
    sandbox, variables = serve(served)
    try:
        environment = {"PATH": os.environ["PATH"], "HOME": str(work), "TERM": "xterm-256color", **variables}
        session = []
        for command in SESSION:
            screen = DimScreen(COLUMNS, ROWS)
            run(command, screen, environment, folder)
            session.append((command, cells(screen)))
    finally:
        sandbox.send_signal(signal.SIGINT)
        sandbox.wait()
        shutil.rmtree(work)
    PICTURE.write_text(draw(session))
    print(f"wrote {PICTURE}")


if __name__ == "__main__":
    main()
