"""The rows of a run, one per record: a text file that only ever grows.

A header names the columns of the rows that follow it. A row with a new column is preceded by another header, so
columns may appear from some task on; a column that a row lacks is empty in it. A header and its first row are
written together.
"""

import csv
import io
import os
from collections.abc import Container, Iterable, Mapping, Sequence
from math import isfinite
from pathlib import Path

from plasticity.machine.files import unless_refused

Row = dict[str, float | int]

KEY = "task"
"""The first column: number of the first task that a row covers, from 0. No value can be mistaken for its name."""

MOST_BYTES_PER_ROW = 2**16
"""Enough for a network of a thousand layers."""


def read(path: Path, count: int | None = None) -> list[dict[str, str]]:
    """The whole rows of a file as text; a last one that is still being written is left out.

    Args:
        path: the file; if there is none, there are no rows.
        count: how many rows to read; None for all.
    """
    rows: list[dict[str, str]] = []
    columns: list[str] = []
    for values in csv.reader(io.StringIO(whole(path).decode(), newline="")):
        if values[:1] == [KEY]:
            columns = values
        elif count is None or len(rows) < count:
            rows.append({name: value for name, value in zip(columns, values, strict=True) if value})
    return rows


def sections(path: Path) -> list[tuple[bytes, list[bytes]]]:
    """The whole lines of a file: each header, and the rows that follow it."""
    found: list[tuple[bytes, list[bytes]]] = []
    for line in whole(path).splitlines():
        if line.startswith(f"{KEY},".encode()):
            found.append((line, []))
        elif found:
            found[-1][1].append(line)
        else:
            raise ValueError("it starts with a row, not with the names of its columns")
    return found


def whole(path: Path) -> bytes:
    """The contents of a file up to the end of its last whole row; nothing if there is no file."""
    try:
        contents = path.read_bytes()
    except FileNotFoundError:
        return b""
    return contents[: contents.rfind(b"\n") + 1]


def last(path: Path) -> dict[str, str] | None:
    """The last whole row, read from the end of the file; None if there is none."""
    try:
        with open(path, "rb") as file:
            size = file.seek(0, os.SEEK_END)
            file.seek(max(0, size - MOST_BYTES_PER_ROW))
            tail, _, _ = file.read().rpartition(b"\n")
            if b"\n" + KEY.encode() + b"," not in tail:  # the header is further up
                file.seek(0)
                tail, _, _ = file.read().rpartition(b"\n")
    except FileNotFoundError:
        return None
    lines = tail.decode().split("\n")
    headers = [line for line in lines if line.startswith(f"{KEY},")]
    if not headers or lines[-1] == headers[-1]:
        return None
    pairs = zip(headers[-1].split(","), lines[-1].split(","), strict=True)
    return {name: value for name, value in pairs if value}


def check(lines: Iterable[bytes], step: int, column: str) -> int:
    """Makes sure that lines are whole rows of numbers, one after the other.

    Args:
        lines: headers and rows, as they are on the disk.
        step: number of tasks that a row covers.
        column: a column that every row has, such as "accuracy".

    Returns:
        the number of rows

    Raises:
        ValueError: saying which row is missing, comes twice, is torn, or lacks a finite score or loss.
    """
    names, needed, rows = list[bytes](), list[int](), 0
    for line in lines:
        values = line.rstrip(b"\n").split(b",")
        if values[0] == KEY.encode():
            names = values
            if column.encode() not in names:
                raise ValueError(f"it has no column {column}")
            _check_names(names)
            needed = [names.index(name) for name in (column.encode(), b"loss") if name in names]
            continue
        if len(values) != len(names) or values[0] != b"%d" % (rows * step):
            raise ValueError(f"something else is in the place of row {rows + 1}, of task {rows * step}")
        try:
            list(map(float, filter(None, values)))
        except ValueError as error:
            raise ValueError(f"row {rows + 1}, of task {rows * step}, does not consist of numbers") from error
        for position in needed:
            if not isfinite(float(values[position] or b"nan")):
                name, found = names[position].decode(), values[position].decode() or "missing"
                raise ValueError(f"{name} of row {rows + 1}, of task {rows * step}, is {found}")
        rows += 1
    return rows


def _check_names(names: Sequence[bytes]) -> None:
    """Raises ValueError if the names of columns are not text, or two of them are the same."""
    try:
        b",".join(names).decode()
    except UnicodeDecodeError as error:
        raise ValueError("the names of its columns are not text") from error
    if len(set(names)) < len(names):
        raise ValueError("two of its columns have the same name")


def prefix(path: Path, count: int, step: int, column: str) -> bytes:
    """The first `count` rows of a file with their headers, as they are on the disk.

    Args:
        path: the file.
        count: how many rows.
        step: number of tasks that a row covers.
        column: a column that every row has.

    Raises:
        ValueError: when there are fewer, or they are not those of consecutive tasks.
    """
    kept, rows = list[bytes](), 0
    for line in whole(path).splitlines(keepends=True) if count else []:
        if rows == count:
            break
        kept.append(line)
        rows += not line.startswith(f"{KEY},".encode())
    if rows < count:
        raise ValueError(f"it holds {rows} of {count} rows")
    check(kept, step, column)
    return b"".join(kept)


def number(text: str) -> float | int:
    """A value of a row from its text."""
    try:
        return int(text)
    except ValueError:
        return float(text)


def extended(path: Path, columns: Mapping[int, Row], without: Container[str] = ()) -> bytes:
    """The rows of a file with further columns; values that a row already has are kept.

    Args:
        path: the file.
        columns: the further values, by the row's first task.
        without: the names of columns whose present values are dropped.
    """
    before = [{name: value for name, value in row.items() if name not in without} for row in read(path)]
    rows = [
        {name: repr(value) for name, value in columns.get(int(row[KEY]), {}).items()} | row for row in before
    ]
    names = list(dict.fromkeys(name for row in [*before, *rows] for name in row))
    lines = [",".join(names), *(",".join(row.get(name, "") for name in names) for row in rows)]
    return "".join(f"{line}\n" for line in lines).encode()


class Rows:
    """A file of rows, open for appending. Every row is passed to the system at once, not kept in this process."""

    def __init__(self, path: Path):
        self.columns: list[str] = []
        for line in whole(path).decode().splitlines():
            if line.startswith(f"{KEY},"):
                self.columns = line.split(",")
        self.file = open(path, "ab", buffering=0)

    def append(self, row: Row) -> None:
        """Appends a row, preceded by another header if it has new columns.

        Raises:
            OSError: when it cannot be written whole; the file is then left as it was.
        """
        columns = [*self.columns, *(name for name in row if name not in self.columns)]
        header = "" if columns == self.columns else ",".join(columns) + "\n"
        line = ",".join(repr(row[name]) if name in row else "" for name in columns)
        self._write(f"{header}{line}\n".encode())
        self.columns = columns

    def _write(self, data: bytes) -> None:
        """Writes all of it or nothing: on a disk that fills up, part of a write may succeed."""
        before = os.fstat(self.file.fileno()).st_size
        written = 0
        try:
            while written < len(data):
                written += self.file.write(data[written:]) or 0
        except OSError:
            os.ftruncate(self.file.fileno(), before)
            raise

    def sync(self) -> None:
        """Waits until the rows are on the disk, where the file system can tell."""
        unless_refused(os.fsync, self.file.fileno())

    def close(self) -> None:
        """Closes the file."""
        self.file.close()
