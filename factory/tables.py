"""Tables and lists that people bring, whatever program saved them: one reader for all of them.

Encodings: UTF-8, UTF-16 and UTF-32 by their marks, cp1252 where a caller says so aloud. Columns are
divided by commas, semicolons or tabs, as RFC 4180 has it. Errors never repeat what a cell holds,
which may be the name of a person.
"""

from __future__ import annotations

import codecs
import csv
import re
import unicodedata
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from factory.errors import FactoryError, SourceError

MARKS = (
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
"""Byte order marks; that of UTF-32 begins as UTF-16's does."""
SEPARATORS = ",;\t"
CHUNK = 1 << 20


@dataclass(frozen=True)
class UserFile:
    """A text file that a config names, and how to say what is wrong with it."""

    key: str
    """The config key that names it."""
    path: str
    wanted: str
    """What the file should be, in words that finish "want ..."."""
    error: type[FactoryError] = SourceError

    def refuse(self, problem: str, line: int | None = None) -> FactoryError:
        """The error of one line that is to be raised."""
        where = self.path if line is None else f"{self.path} line {line}"
        return self.error(f"{self.key}: {where} {problem}; want {self.wanted}")

    def encoding(self, remarks: list[str] | None = None) -> str:
        """The name of the encoding, found by reading all of the file once.

        Where a file is no Unicode but may be cp1252, `remarks` gets a line that says so; without
        such a list it is refused, as are files that cannot be read.
        """
        try:
            with open(self.path, "rb") as handle:
                start = handle.read(4)
            marked = next((name for mark, name in MARKS if start.startswith(mark)), None)
            problem = self._problem(marked or "utf-8")
            if problem is None:
                return marked or "utf-8"
            if marked or self._problem("cp1252") is not None:
                raise self.refuse("is no text in UTF-8, UTF-16 or cp1252", problem)
        except FileNotFoundError:
            raise self.error(f"{self.key}: no file {self.path!r}; want {self.wanted}") from None
        except OSError as error:
            raise self.refuse(f"cannot be read ({error.strerror})") from None
        if remarks is None:
            raise self.refuse(
                "is no UTF-8, but may be cp1252, as Excel writes a plain CSV: save it as CSV UTF-8",
                problem,
            )
        remarks.append(
            f"{self.key}: {self.path} is no UTF-8 (line {problem}) and is read as cp1252; save it "
            "as UTF-8 if names are not found"
        )
        return "cp1252"

    def _problem(self, encoding: str) -> int | None:
        """The first line that is no text in an encoding, or None."""
        decoder, line = codecs.getincrementaldecoder(encoding)(), 1
        with open(self.path, "rb") as handle:
            while True:
                data = handle.read(CHUNK)
                try:
                    text = decoder.decode(data, final=not data)
                except UnicodeDecodeError as error:
                    return line + error.object[: error.start].count(b"\n")
                if "\0" in text:
                    return line + text[: text.index("\0")].count("\n")
                if not data:
                    return None
                line += text.count("\n")

    def lines(self, remarks: list[str] | None = None) -> Iterator[tuple[int, str]]:
        """(number, text in NFC without spaces at its ends) of every line that is not empty."""
        with open(self.path, encoding=self.encoding(remarks)) as handle:
            for number, line in enumerate(handle, start=1):
                if line.strip():
                    yield number, nfc(line)


class Table:
    """A table with a header, read a row at a time; every row is as long as the header."""

    def __init__(self, file: UserFile, remarks: list[str] | None = None) -> None:
        """Reads the header; `remarks` as for UserFile.encoding.

        Raises the file's error for no header, or for two columns of one name.
        """
        self._file, self._encoding = file, file.encoding(remarks)
        self._separator, self._skipped = self._separated_by()
        _, header = next(self._records(), (0, []))
        while header and not header[-1]:
            header.pop()
        if not header:
            raise file.refuse("is empty")
        doubled = [name for name in header if name and header.count(name) > 1]
        if doubled:
            number = header.index(doubled[0], header.index(doubled[0]) + 1) + 1
            raise file.refuse(f"has the name of column {number} twice", 1 + self._skipped)
        self.columns = tuple(header)

    @property
    def has_comma_decimals(self) -> bool:
        """Whether a comma divides no columns, so that it may be that of 1,5."""
        return self._separator != ","

    def rows(self) -> Iterator[tuple[int, list[str]]]:
        """(line, cells) of every row with anything in it, cells in NFC without spaces at the ends.

        Raises the file's error, with line and column, for a row shorter or longer than the header.
        """
        records = self._records()
        next(records, None)
        for line, cells in records:
            if not any(cells):
                continue
            while len(cells) > len(self.columns) and not cells[-1]:
                cells.pop()
            if len(cells) != len(self.columns):
                raise self._file.refuse(self._uneven(cells), line)
            yield line, cells

    def keyed(self, column: str) -> dict[str, dict[str, str]]:
        """Rows by what one column holds, as column -> cell.

        Raises the file's error where two rows hold the same, or one nothing.
        """
        place, lines = self.columns.index(column), dict[str, int]()
        table: dict[str, dict[str, str]] = {}
        for line, cells in self.rows():
            key = cells[place]
            if not key or key in table:
                problem = f"repeats the {column!r} of line {lines[key]}" if key else "is of nobody"
                raise self._file.refuse(f"column {place + 1} {problem}", line)
            table[key], lines[key] = dict(zip(self.columns, cells, strict=True)), line
        return table

    def _uneven(self, cells: Sequence[str]) -> str:
        has, wants = len(cells), len(self.columns)
        if has < wants:
            return f"column {has + 1} ({self.columns[has]!r}) is missing: {has} of {wants} cells"
        return f"column {wants + 1} has no header: {has} cells, the header has {wants}"

    def _separated_by(self) -> tuple[str, int]:
        """The separator, and how many lines Excel's sep=; takes before the header."""
        with open(self._file.path, encoding=self._encoding) as handle:
            first = handle.readline()
        told = re.fullmatch(rf"sep=([{SEPARATORS}])\s*", first, re.IGNORECASE)
        if told:
            return told[1], 1
        unquoted = re.sub(r'"[^"]*"', "", first)
        return max(SEPARATORS, key=unquoted.count), 0

    def _records(self) -> Iterator[tuple[int, list[str]]]:
        with open(self._file.path, encoding=self._encoding, newline="") as handle:
            for _ in range(self._skipped):
                handle.readline()
            reader = csv.reader(handle, delimiter=self._separator, strict=True)
            try:
                for cells in reader:
                    yield reader.line_num + self._skipped, [nfc(cell) for cell in cells]
            except csv.Error as error:
                line = reader.line_num + self._skipped
                raise self._file.refuse(f"is no row of a CSV ({error})", line) from None


def nfc(text: str) -> str:
    """Text as it is compared: in Unicode's composed form, without spaces at its ends."""
    return unicodedata.normalize("NFC", text.strip())


def is_number(text: str) -> bool:
    """Whether a cell is a number, and so no name of a column."""
    try:
        float(text)
    except ValueError:
        return False
    return True


def named_as(name: str) -> str:
    """A file's name as tables and sources are compared: ./a\\b.jpg is a/b.jpg."""
    return nfc(Path(name.replace("\\", "/")).as_posix())
