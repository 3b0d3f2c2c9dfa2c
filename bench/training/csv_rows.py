"""A CSV file as blocks of whole rows in UTF-8; quotes that swallow rows are refused. What fields mean is not read.

Tests: `tests/bench/training/test_table_forms.py`.
"""

from __future__ import annotations

import codecs
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa

from bench.basics.errors import UsageError
from bench.training.number_text import PLAIN

BLOCK_BYTES = 1 << 20
LONGEST_FIELD = 1 << 24
QUOTE = b'"'
BYTE_ORDER_MARKS = (  # the longer first: that of UTF-32 begins with that of UTF-16
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)


def encoding_of(head: bytes) -> str:
    """Return the encoding that the first bytes of a file say by their byte-order mark, UTF-8 if they say none."""
    return next((name for mark, name in BYTE_ORDER_MARKS if head.startswith(mark)), "utf-8")


@dataclass
class Lines:
    """A CSV file, compressed or not, as blocks of whole lines in UTF-8, each ended by a newline.

    Iterating raises `UsageError` at bytes that are not text in this encoding.

    Attributes:
        path: the file.
        encoding: of its text.
        skip: this many lines at its beginning are left out.
        comment: lines that begin with this are left out.
        blanks: whether a run of blanks is written as one, and left out at the ends of a line.
        start: the byte to begin at, the first of a line; from another one than 0 on, no lines are skipped.
        position: the byte behind the latest block, from which another reader can go on; ``None`` if none can, since the
            file is compressed, or in another encoding than UTF-8.
    """

    path: Path
    encoding: str
    skip: int = 0
    comment: str | None = None
    blanks: bool = False
    start: int = 0
    position: int | None = None

    def __iter__(self) -> Iterator[bytes]:
        mark = self.comment and re.escape(self.comment.encode())
        comments = re.compile(rb"(?m)^[ \t]*" + mark + rb"[^\n]*\n") if mark else None
        for block in without_first_lines(self._lines(), 0 if self.start else self.skip):
            block = comments.sub(b"", block) if comments else block
            if self.blanks:
                block = re.sub(rb"(?m)^ | $", b"", re.sub(rb"[ \t]+", b" ", block))
            if block:
                yield block

    def _lines(self) -> Iterator[bytes]:
        seekable = _is_utf8(self.encoding) and not _is_compressed(self.path)
        rest = b""
        for text, end in _utf8(self.path, self.encoding, self.start):
            block = rest + text
            cut = block.rfind(b"\n") + 1
            block, rest = block[:cut], block[cut:]
            if block:
                self.position = end - len(rest) if seekable else None
                yield block


def without_first_lines(lines: Iterable[bytes], count: int) -> Iterator[bytes]:
    """Yield blocks of lines without the first ``count`` lines."""
    for block in lines:
        while count and block:
            block = block[block.index(b"\n") + 1 :]
            count -= 1
        if block:
            yield block


def first_bytes(lines: Iterable[bytes], enough: int) -> bytes:
    """Return the first blocks of lines, joined, up to ``enough`` bytes or a little more."""
    head = b""
    for block in lines:
        head += block
        if len(head) >= enough:
            break
    return head


def _utf8(path: Path, encoding: str, start: int) -> Iterator[tuple[bytes, int]]:
    """Yield the text in UTF-8 from a byte on, each line ended by a line feed alone, the last as well.

    With each part comes the byte behind it.
    """
    decoder = codecs.getincrementaldecoder(encoding)()
    held, last, read = b"", b"", start
    with pa.OSFile(str(path)) if start else pa.input_stream(str(path), compression="detect") as stream:
        if start:
            stream.seek(start)
        while True:
            data = stream.read(BLOCK_BYTES)
            try:
                text = data if _is_utf8(encoding) else decoder.decode(data, final=not data).encode()
            except UnicodeDecodeError as error:
                raise UsageError(_not_in(path, encoding, read + error.start)) from error
            block = held + (text if read else text.removeprefix(codecs.BOM_UTF8))
            read += len(data)
            held = b"\r" if data and block.endswith(b"\r") else b""  # its \n may come with the next block
            block = block[: len(block) - len(held)]
            if b"\r" in block:
                block = block.replace(b"\r\n", b"\n").replace(b"\r", b"\n")
            if block:
                last = block[-1:]
                yield block, read - len(held)
            if not data:
                if last not in (b"", b"\n"):
                    yield b"\n", read
                return


def _is_utf8(encoding: str) -> bool:
    return codecs.lookup(encoding).name == "utf-8"


def _is_compressed(path: Path) -> bool:
    """Return whether the name of a file says so, as pyarrow sees it."""
    with pa.input_stream(str(path), compression="detect") as stream:
        return isinstance(stream, pa.CompressedInputStream)


def _not_in(path: Path, encoding: str, at: int) -> str:
    return f"{path} is not in {encoding} (byte {at:,}); name its encoding, for example --encoding cp1252"


@dataclass
class QuoteGuard:
    """Cuts text into blocks of whole rows, and refuses a quote that is not closed on its row.

    A quoted field may hold line breaks. If one of its lines looks like a row of the table, the quote was left open by
    mistake, and reading on would lose these rows without a word.

    Attributes:
        path: for messages.
        delimiter: between fields.
        columns: how many fields a row has.
        rows: data rows passed on so far.
        held: the beginning of a row whose end has not come yet.
    """

    path: Path
    delimiter: bytes
    columns: int
    rows: int = 0
    held: bytes = b""

    def whole_rows(self, lines: Iterable[bytes]) -> Iterator[bytes]:
        """Yield blocks that end with the end of a row."""
        for block in lines:
            block = self.held + block
            end = self._end(block)
            block, self.held = block[:end], block[end:]
            if block:
                yield block
            if len(self.held) > LONGEST_FIELD:
                self._refuse(self.rows + 1, self.held.split(b"\n")[0], "is still open 16 MiB later")
        if self.held:
            self._refuse(self.rows + 1, self.held.split(b"\n")[0], "is never closed")

    def _end(self, block: bytes) -> int:
        """Return how much of ``block``, which is whole lines, is whole rows."""
        if QUOTE not in block:
            return len(block)
        as_array = np.frombuffer(block, np.uint8)
        before = np.searchsorted(np.flatnonzero(as_array == ord(QUOTE)), np.flatnonzero(as_array == ord("\n")))
        within = rb'[^\n"%b]"[^\n"%b]' % (re.escape(self.delimiter), re.escape(self.delimiter))
        if not (before % 2).any() and not re.search(within, block):
            return len(block)
        start, number = 0, self.rows
        while start < len(block):
            end = block.index(b"\n", start)
            line = block[start:end]
            number += bool(line.strip())
            if QUOTE in line and self._open_after(line, inside=False):
                closed = self._row_end(block, start, end, number)
                if closed is None:
                    return start
                end = closed
            start = end + 1
        return len(block)

    def _row_end(self, block: bytes, start: int, end: int, number: int) -> int | None:
        """Return where a row ends that leaves a quote open in its first line; ``None`` if not in ``block``."""
        first = block[start:end]
        fields = first.split(self.delimiter)
        if not fields[-1].startswith(QUOTE) and self._looks_like_a_row(first):
            self._refuse(number, first, "swallows the rest of its row")
        while (next_end := block.find(b"\n", end + 1)) >= 0:
            line = block[end + 1 : next_end]
            inside = self._open_after(line, inside=True)
            closing = len(line) if inside else _closing(line)
            if self._looks_like_a_row(line[:closing]):
                self._refuse(number, first, "swallows the rows after it")
            if not inside:
                if (after := line[closing + 1 :]) and not after.startswith(self.delimiter):
                    self._refuse(number, first, "closes only where a later field opens")
                return next_end
            end = next_end
        return None

    def _open_after(self, line: bytes, inside: bool) -> bool:
        """Return whether a quoted field is open at the end of a line, which begins inside one or not."""
        at = 0
        if not inside and line.startswith(QUOTE):
            inside, at = True, 1
        while True:
            if inside:
                at = line.find(QUOTE, at)
                if at < 0:
                    return True
                inside, at = line[at + 1 : at + 2] == QUOTE, at + 1
                at += inside  # a doubled quote is text
            else:
                at = line.find(self.delimiter, at) + 1
                if at == 0:
                    return False
                if line[at : at + 1] == QUOTE:
                    inside, at = True, at + 1

    def _looks_like_a_row(self, line: bytes) -> bool:
        fields = line.decode("utf-8", "replace").replace('"', "").split(self.delimiter.decode())
        return len(fields) == self.columns > 1 and any(PLAIN.fullmatch(field.strip()) for field in fields)

    def _refuse(self, number: int, line: bytes, what: str) -> None:
        text = line.decode("utf-8", "replace")
        raise UsageError(
            f"{self.path}: the quote in data row {number:,} ({text[:60]!r}) {what}; close the quote in this row or "
            "remove it (a quote within a quoted field is written twice)"
        )


def _closing(line: bytes) -> int:
    """Return where the first quote of a line is that is not doubled."""
    match = re.match(rb'(?:[^"]|"")*', line)
    return match.end() if match else 0
