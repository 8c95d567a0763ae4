"""Files of every format, whole and broken."""

from __future__ import annotations

import csv
import gzip
import io
from pathlib import Path

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sidrec.errors import DataError
from sidrec.ingest import formats
from sidrec.ingest.rows import AT
from sidrec.ingest.tables import Table, read_table
from tests.ingest.conftest import WriteTable, write_rows

ROWS = [{"a": "one", "b": 'x, "y"\nz'}, {"a": "zwei", "b": "ü"}, {"a": "3", "b": ""}]
WANTED = {"a": "key.a", "b": "key.b"}


def read(path: Path, content: str | bytes, wanted: dict[str, str] | None = None) -> Table:
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return read_table(path, WANTED if wanted is None else wanted)


def cells(table: Table) -> list[tuple[str, ...]]:
    return [tuple(value or "" for value in row) for row in table.frame.drop(AT).rows()]


def bad(table: Table) -> list[tuple[int, str]]:
    return list(zip(table.bad.lines, table.bad.details, strict=True))


@pytest.mark.parametrize("gz", ["", ".gz"])
@pytest.mark.parametrize("ending", [".csv", ".tsv", ".jsonl", ".parquet"])
def test_every_format_gives_the_same_table(write_table: WriteTable, ending: str, gz: str) -> None:
    table = read_table(write_table(f"t{ending}{gz}", ROWS), WANTED)
    assert cells(table) == [("one", 'x, "y"\nz'), ("zwei", "ü"), ("3", "")]
    # The quoted line end makes the second record of a CSV file start on line 4.
    first = {".csv": [2, 4, 5], ".tsv": [2, 4, 5], ".jsonl": [1, 2, 3], ".parquet": [1, 2, 3]}
    assert table.frame[AT].to_list() == first[ending]
    assert (table.rows, table.columns, bad(table)) == (3, ("a", "b"), [])


@pytest.mark.parametrize("name", ["t.xlsx", "t", "t.txt.gz", "t.json"])
def test_an_unknown_ending_is_named(tmp_path: Path, name: str) -> None:
    with pytest.raises(DataError, match=r"cannot tell the format of .*expected an ending out of \.csv, \.tsv"):
        read(tmp_path / name, "a,b\n")


def test_a_json_file_is_told_what_it_should_be(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"one object a line and be called \.jsonl"):
        read(tmp_path / "t.json", "[]")


def test_a_missing_file_names_its_neighbours(tmp_path: Path) -> None:
    (tmp_path / "itmes.csv").touch()
    with pytest.raises(DataError, match=r"items\.csv does not exist; .* holds itmes\.csv"):
        read_table(tmp_path / "items.csv", WANTED)
    with pytest.raises(DataError, match=r"the folder .*nowhere does not exist either"):
        read_table(tmp_path / "nowhere" / "items.csv", WANTED)
    with pytest.raises(DataError, match="is a folder"):
        read_table(tmp_path, WANTED)


@pytest.mark.parametrize("ending", [".csv", ".jsonl", ".parquet"])
def test_a_missing_column_names_the_nearest(write_table: WriteTable, ending: str) -> None:
    path = write_table(f"t{ending}", [{"Title": "x", "price": "1"}])
    with pytest.raises(DataError, match=r"no column 'title', which key\.t names; did you mean 'Title'\?.*found: Title, price"):
        read_table(path, {"title": "key.t"})


def test_a_key_that_only_comes_late_is_a_column(tmp_path: Path) -> None:
    lines = ['{"a": "x"}'] * 1500 + ['{"a": "x", "b": "late"}']
    assert cells(read(tmp_path / "t.jsonl", "\n".join(lines)))[-1] == ("x", "late")


def test_a_wanted_column_that_occurs_twice_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="has 2 columns called 'a'"):
        read(tmp_path / "t.csv", "a,b,a\n1,2,3\n")


@pytest.mark.parametrize("name", ["t.csv", "t.jsonl"])
@pytest.mark.parametrize("content", [b"", b"\n\r\n"])
def test_an_empty_file_is_refused(tmp_path: Path, name: str, content: bytes) -> None:
    with pytest.raises(DataError, match="is empty"):
        read(tmp_path / name, content)


def test_a_header_alone_is_a_table_without_rows(tmp_path: Path) -> None:
    table = read(tmp_path / "t.csv", "a,b")
    assert (table.rows, table.frame.columns) == (0, ["a", "b", AT])


@pytest.mark.parametrize(
    ("name", "content", "sentence"),
    [
        ("t.csv.gz", b"a,b\n1,2\n", "not a whole gzip file"),
        ("t.csv.gz", gzip.compress(b"a,b\n1,2\n" * 999, mtime=0)[:-20], "not a whole gzip file"),
        ("t.parquet.gz", gzip.compress(b"PAR1", mtime=0)[:-6], "not a whole gzip file"),
        ("t.csv", gzip.compress(b"a,b\n1,2\n", mtime=0), r"does not end in \.gz"),
        ("t.csv", "a,b\n1,2\n".encode("utf-16"), "UTF-16"),
        ("t.parquet", b"PAR1 but not really", "not a readable Parquet file"),
    ],
)
def test_damaged_files_are_named(tmp_path: Path, name: str, content: bytes, sentence: str) -> None:
    with pytest.raises(DataError, match=sentence) as error:
        read(tmp_path / name, content)
    assert name in str(error.value)


@pytest.mark.parametrize("name", ["t.csv", "t.jsonl"])
def test_byte_order_mark_and_windows_line_ends(tmp_path: Path, name: str) -> None:
    content = 'a,b\r\n1,"x\r\ny"\r\n2,z\r\n' if name == "t.csv" else '{"a": 1, "b": "x\\r\\ny"}\r\n{"a": 2, "b": "z"}\r\n'
    assert cells(read(tmp_path / name, b"\xef\xbb\xbf" + content.encode())) == [("1", "x\r\ny"), ("2", "z")]


def test_semicolons_in_a_csv_file_are_noticed(tmp_path: Path) -> None:
    assert cells(read(tmp_path / "t.csv", "a;b\n1,5;x\n")) == [("1,5", "x")]


def test_broken_rows_of_a_csv_file_cost_only_themselves(tmp_path: Path) -> None:
    content = b'a,b\n1,x\n2\n\n3,y,z\n4,"open\n5,5" nail\n6,"q"r\n7,\xff\n8,last'
    table = read(tmp_path / "t.csv", content)
    assert cells(table) == [("1", "x"), ("5", '5" nail'), ("8", "last")]
    assert table.frame[AT].to_list() == [2, 7, 10]
    assert bad(table) == [
        (3, "1 fields instead of 2: 2"),
        (5, "3 fields instead of 2: 3,y,z"),
        (6, 'a quote is not closed: 4,"open'),
        (8, 'a quote is not closed: 6,"q"r'),
        (9, "not UTF-8: 7,\ufffd"),
    ]
    assert table.rows == 8


def test_a_quote_in_a_tsv_file_without_quoting_is_a_letter(tmp_path: Path) -> None:
    table = read(tmp_path / "t.tsv", 'a\tb\n"Best" bed\tx\n2\t"wide\n3\t"quo\tted"\n')
    assert cells(table) == [('"Best" bed', "x"), ("2", '"wide'), ("3", "quo\tted")]


def test_a_stray_quote_does_not_swallow_the_file(tmp_path: Path) -> None:
    lines = ["a,b", '0,"stray', *(f"{i},{'x' * 90}" for i in range(1, 30_000))]
    table = read(tmp_path / "t.csv", "\n".join(lines))
    assert (table.frame.height, table.bad.lines) == (29_999, [2])


def test_broken_lines_of_a_jsonl_file_cost_only_themselves(tmp_path: Path) -> None:
    content = b'{"a": 1, "b": "x"}\n{"a": 2\n\n[1]\n{"a": 3, "b": "\xff"}\n' + b"[" * 5000 + b'\n{"a": 4}'
    table = read(tmp_path / "t.jsonl", content)
    assert cells(table) == [("1", "x"), ("4", "")]
    assert table.frame[AT].to_list() == [1, 7]
    assert table.bad.lines == [2, 4, 5, 6]
    assert table.bad.details[0].startswith("not JSON (Expecting ',' delimiter")
    assert table.bad.details[1] == "not a JSON object: [1]"
    assert table.bad.details[2].startswith("not UTF-8")


def test_json_values_come_as_text_whatever_their_type(tmp_path: Path) -> None:
    line = '{"a": %s, "b": null}\n'
    values = ["1", "1.5", "12.0", "true", '["x", "y\\n"]', '{"k": [1]}', '"\\ud83d\\ude00"']
    broken = "{\n"  # makes the fast reader give up, so that both ways are compared
    fast = read(tmp_path / "fast.jsonl", "".join(line % value for value in values))
    slow = read(tmp_path / "slow.jsonl", "".join(line % value for value in values) + broken)
    assert fast.frame["a"].to_list()[:4] == ["1", "1.5", "12", "true"]
    assert slow.frame.equals(fast.frame)
    assert len(slow.bad.lines) == 1 and not fast.bad.lines


def test_parquet_keeps_its_types(tmp_path: Path) -> None:
    frame = pl.DataFrame({"a": [["x"], None], "b": [1.5, 2.0]})
    frame.write_parquet(tmp_path / "t.parquet")
    assert read_table(tmp_path / "t.parquet", WANTED).frame.drop(AT).equals(frame)


def test_reading_can_stop_early(write_table: WriteTable, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(formats, "BLOCK_BYTES", 64)
    path = write_table("t.csv", [{"a": str(i)} for i in range(1000)])
    assert 5 <= read_table(path, {}, max_rows=5).frame.height < 100


text = st.text(st.sampled_from('ab,"\n\r\t üß\u3042'), max_size=6)


@settings(deadline=None, max_examples=150)
@given(st.lists(st.tuples(text, text), max_size=30), st.sampled_from([csv.QUOTE_MINIMAL, csv.QUOTE_ALL]), st.integers(1, 80))
def test_what_the_csv_module_writes_is_read_back(
    tmp_path_factory: pytest.TempPathFactory, rows: list[tuple[str, str]], quoting: int, block: int
) -> None:
    # A lone \r is a line end to the csv module and not to us: files with such line ends are older than this format.
    rows = [(a.replace("\r", ""), b.replace("\r", "")) for a, b in rows]
    out = io.StringIO()
    csv.writer(out, quoting=quoting).writerows([("a", "b"), *rows])  # type: ignore[arg-type]
    path = tmp_path_factory.mktemp("csv") / "t.csv"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(formats, "BLOCK_BYTES", block)
        table = read(path, out.getvalue())
    assert cells(table) == rows
    assert not table.bad.lines


LINES = ['{"a":"1","b":"x"}', '{"a":"2"}', "", "oops", '{"b":"y","a":"3"}']


@settings(deadline=None, max_examples=100)
@given(st.lists(st.sampled_from(LINES), min_size=1), st.integers(1, 60))
def test_blocks_do_not_change_what_is_read(tmp_path_factory: pytest.TempPathFactory, lines: list[str], block: int) -> None:
    path = tmp_path_factory.mktemp("jsonl") / "t.jsonl"
    lines = ['{"a":"0","b":"first"}', *lines]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(formats, "BLOCK_BYTES", block)
        table = read(path, "\n".join(lines))
    assert table.frame[AT].to_list() == [i for i, line in enumerate(lines, 1) if line.startswith("{")]
    assert table.bad.lines == [i for i, line in enumerate(lines, 1) if line == "oops"]


def test_write_rows_is_itself_right(tmp_path: Path) -> None:
    assert write_rows(tmp_path / "t.csv", [{"a": 1}]).read_text() == "a\n1\n"
