"""Files of every kind become tables; what is wrong with them, or would take too much memory, is said before it is taken."""

from __future__ import annotations

import contextlib
import io
import pickle
import struct
import tracemalloc
import wave
import zipfile

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from nncore.errors import InvalidData
from nncore.table import TableLimits
from nncore.table.file import read_file
from nncore.table.json import read_columns

Image = pytest.importorskip("PIL.Image", reason="no Pillow")
PICTURES = np.random.default_rng(1).integers(0, 256, (6, 5, 4), dtype=np.uint8)


def npy(array: np.ndarray) -> bytes:
    into = io.BytesIO()
    np.save(into, array, allow_pickle=True)
    return into.getvalue()


def npz(packed: bool = False, **columns: np.ndarray) -> bytes:
    into = io.BytesIO()
    (np.savez_compressed if packed else np.savez)(into, **columns)
    return into.getvalue()


def zipped(files: dict[str, bytes], method: int = zipfile.ZIP_DEFLATED) -> bytes:
    into = io.BytesIO()
    with zipfile.ZipFile(into, "w", method) as archive:
        for name, data in files.items():
            archive.writestr(name, data)
    return into.getvalue()


def png(pixels: np.ndarray, kind: str = "PNG") -> bytes:
    into = io.BytesIO()
    Image.fromarray(pixels).save(into, kind)
    return into.getvalue()


def wav(samples: np.ndarray, rate: int = 8000) -> bytes:
    into = io.BytesIO()
    with wave.open(into, "wb") as sound:
        sound.setnchannels(1)
        sound.setsampwidth(samples.dtype.itemsize)
        sound.setframerate(rate)
        sound.writeframes(samples.tobytes())
    return into.getvalue()


def read(data: bytes, **limits: int):
    return read_file(io.BytesIO(data), limits=TableLimits(**limits))


def refused(data: bytes, **limits: int) -> list[str]:
    with pytest.raises(InvalidData) as caught:
        read(data, **limits)
    assert all(fault.message for fault in caught.value.faults)
    return [fault.code for fault in caught.value.faults]


class TestArrays:
    @pytest.mark.parametrize("packed", [False, True])
    def test_every_array_of_an_npz_is_a_column_with_its_item_shape(self, packed):
        found = read(npz(packed, picture=PICTURES, label=np.array(["a", "b"] * 3), y=np.arange(6)))
        assert found.sniffed == {"format": "npz"}
        assert [(c.name, c.dtype, c.item_shape) for c in found.table.columns] == [
            ("picture", "float32", (5, 4)),
            ("label", "category", ()),
            ("y", "float32", ()),
        ]
        assert np.array_equal(found.table["picture"].values, PICTURES)
        assert found.table["label"].categories == ("a", "b")

    def test_a_npy_file_is_one_column(self):
        table = read(npy(np.asfortranarray(np.arange(6.0).reshape(3, 2)))).table
        assert table["x"].values.tolist() == [[0, 1], [2, 3], [4, 5]]

    @pytest.mark.parametrize("dtype", ["?", "i1", ">i2", "<u4", "f2", ">f4", ">f8", "i8"])
    def test_the_same_numbers_are_the_same_table_as_in_json(self, dtype):
        values = np.array([0, 1, 1, 0], dtype=dtype)
        assert read(npz(x=values)).table.digest == read_columns({"x": [0, 1, 1, 0]}).digest

    @pytest.mark.parametrize(("value", "dtype"), [(2**24 + 1, "int64"), (0.1, "float64"), (0.5, "float32"), (1e300, "float64")])
    def test_no_number_is_rounded(self, value, dtype):
        column = read(npy(np.array([value, 1]))).table["x"]
        assert (column.dtype, column.values.tolist()) == (dtype, [value, 1])

    def test_a_header_that_claims_8_tib_is_refused_before_memory_is_taken(self):
        header = b"{'descr': '<f8', 'fortran_order': False, 'shape': (1099511627776,), }"
        data = b"\x93NUMPY\x01\x00" + struct.pack("<H", len(header)) + header
        for file in (data, zipped({"x.npy": data})):
            tracemalloc.start()
            assert refused(file) == ["too_many_rows"]
            assert refused(file, max_rows=2**60, max_cells=2**60, max_bytes=2**60) == ["wrong_size"]
            assert tracemalloc.get_traced_memory()[1] < 2e6
            tracemalloc.stop()

    def test_a_bomb_is_refused_before_memory_is_taken(self):
        bomb = npz(True, x=np.zeros(2**23))
        assert len(bomb) < 100_000
        tracemalloc.start()
        assert refused(bomb) == ["unpacks_too_far"]
        assert tracemalloc.get_traced_memory()[1] < 2e6
        tracemalloc.stop()

    def test_a_pickle_is_not_opened(self, tmp_path):
        canary = tmp_path / "canary"

        class Evil:
            def __reduce__(self):
                return open, (str(canary), "w")

        assert pickle.dumps(Evil())
        for file in (npy(np.array([Evil()])), npz(x=np.array([Evil()]))):
            assert refused(file) == ["unsupported_dtype"]
        assert not canary.exists()

    @pytest.mark.parametrize(
        ("columns", "code"),
        [
            ({"x": np.array([1.0, np.nan])}, "not_finite"),
            ({"x": np.array([1.0, np.inf])}, "not_finite"),
            ({"x": np.array(1.0)}, "wrong_shape"),
            ({"x": np.zeros((2, 0))}, "wrong_shape"),
            ({"x": np.array([1j])}, "unsupported_dtype"),
            ({"x": np.array([(1, 2)], dtype=[("a", "i4"), ("b", "i4")])}, "unsupported_dtype"),
            ({"x": np.array(["2026-01-01"], dtype="M8[D]")}, "unsupported_dtype"),
            ({"x": np.array(["a", ""])}, "empty_cell"),
            ({"x": np.array([b"\xff"])}, "unreadable_text"),
            ({"x": np.zeros(2), "y": np.zeros(3), "z": np.zeros(3)}, "unequal_lengths"),
        ],
    )
    def test_what_is_no_column_is_named(self, columns, code):
        assert refused(npz(**columns)) == [code]

    def test_an_array_that_is_cut_off_is_refused(self):
        assert refused(npy(np.zeros(10))[:-1]) == ["wrong_size"]

    def test_a_large_array_is_put_where_scratch_says(self, tmp_path):
        made = []

        def scratch(shape, dtype):
            made.append(np.memmap(tmp_path / f"{len(made)}", dtype, "w+", shape=shape))
            return made[-1]

        data = io.BytesIO(npz(x=np.arange(2**20, dtype=np.float64).reshape(-1, 4) / 2))
        tracemalloc.start()
        column = read_file(data, scratch=scratch).table["x"]
        assert tracemalloc.get_traced_memory()[1] < 4e6
        tracemalloc.stop()
        assert column.values is made[-1]
        assert column.values.dtype == np.float32


class TestFolders:
    def test_pictures_in_folders_are_pictures_with_labels(self):
        files = {f"pets/{'cat' if at % 2 else 'dog'}/{at}.png": png(PICTURES[at]) for at in range(6)}
        found = read(zipped({"pets/": b"", "__MACOSX/x": b"", **files}))
        assert found.sniffed == {"format": "class_folders", "width": 4, "height": 5, "channels": 1}
        assert found.table["picture"].item_shape == (1, 5, 4)
        assert np.array_equal(found.table["picture"].values[:, 0], PICTURES[[1, 3, 5, 0, 2, 4]])
        label = found.table["label"]
        assert [label.categories[code] for code in label.values] == ["cat"] * 3 + ["dog"] * 3

    def test_colours_are_channels_and_an_outer_folder_is_a_set(self):
        pixels = np.random.default_rng(1).integers(0, 256, (2, 3, 3), dtype=np.uint8)
        table = read(zipped({"train/a/1.png": png(pixels), "test/b/2.jpg": png(pixels, "JPEG")})).table
        assert table["picture"].item_shape == (3, 2, 3)
        assert np.array_equal(table["picture"].values[1], pixels.transpose(2, 0, 1))
        assert table["set"].categories == ("test", "train")

    @pytest.mark.parametrize("dtype", ["u1", "<i2", "<i4"])
    def test_sounds_are_between_minus_one_and_one(self, dtype):
        extremes = np.array([np.iinfo(dtype).min, np.iinfo(dtype).max, np.iinfo(dtype).min], dtype=dtype)
        found = read(zipped({"yes/1.wav": wav(extremes), "no/1.wav": wav(extremes)}))
        assert found.sniffed == {"format": "class_folders", "samples": 3, "sample_rate": 8000, "channels": 1}
        assert found.table["sound"].values[0] == pytest.approx([-1, 1, -1], abs=0.01)

    @pytest.mark.parametrize(
        ("files", "code"),
        [
            ({"a/1.png": png(PICTURES[0]), "b/2.png": png(PICTURES[0, :4])}, "odd_one"),
            ({"a/1.wav": wav(np.zeros(3, "<i2")), "b/2.wav": wav(np.zeros(3, "<i2"), 16000)}, "odd_one"),
            ({"a/1.png": png(PICTURES[0]), "b/2.wav": wav(np.zeros(3, "<i2"))}, "wrong_member"),
            ({"a/1.png": png(PICTURES[0])[:50]}, "unreadable_medium"),
            ({"a/1.wav": b"RIFF"}, "unreadable_medium"),
            ({"1.png": png(PICTURES[0])}, "wrong_folders"),
            ({"../a/1.png": png(PICTURES[0])}, "unsafe_name"),
            ({"/a/1.png": png(PICTURES[0])}, "unsafe_name"),
            ({"a\\..\\..\\1.png": png(PICTURES[0])}, "unsafe_name"),
            ({"[Content_Types].xml": b"", "xl/workbook.xml": b""}, "wrong_member"),
            ({}, "empty"),
        ],
    )
    def test_what_is_wrong_is_named(self, files, code):
        assert refused(zipped(files)) == [code]

    def test_a_picture_of_a_billion_pixels_is_refused_by_its_header(self):
        huge = bytearray(png(np.zeros((1, 1), np.uint8)))
        huge[16:24] = struct.pack(">II", 30_000, 30_000)
        assert refused(zipped({"a/1.png": bytes(huge)})) == ["unreadable_medium"]

    def test_a_zip_that_is_cut_off_or_damaged_is_refused(self):
        whole = zipped({"a/1.png": png(PICTURES[0])}, zipfile.ZIP_STORED)
        assert refused(whole[:-30]) == ["broken_zip"]
        at = whole.index(b"IDAT") + 6
        assert refused(whole[:at] + bytes([whole[at] ^ 255]) + whole[at + 1 :]) == ["broken_zip"]


def test_without_pillow_the_extra_is_named(monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "PIL", None)
    with pytest.raises(InvalidData, match=r"sankofa\[media\]"):
        read(zipped({"a/1.png": b""}))


def test_csv_says_how_it_is_written():
    assert read(b'a;b\n1;"x"\n').sniffed == {
        "format": "csv",
        "delimiter": ";",
        "header": True,
        "quoting": True,
        "packed": None,
        "missing": {},
    }


def read_or_refused(whole: bytes, data: st.DataObject) -> None:
    """Some bytes of a whole file are changed, and perhaps its end is cut off."""
    changed = bytearray(whole)
    for _ in range(data.draw(st.integers(1, 4))):
        changed[data.draw(st.integers(4, len(changed) - 1))] = data.draw(st.integers(0, 255))
    cut = data.draw(st.integers(6, len(changed)))
    with contextlib.suppress(InvalidData):
        read(bytes(changed[:cut]), max_cells=10**6)


WHOLE = [
    npy(np.arange(3.0)),
    npz(x=np.arange(3), y=np.array(["a", "b", "c"])),
    zipped({"a/1.png": png(PICTURES[0])}),
    zipped({"a/1.wav": wav(np.zeros(9, "<i2"))}),
]


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.sampled_from(WHOLE), st.data())
def test_a_file_with_wrong_bytes_is_read_or_refused_and_nothing_else(whole, data):
    read_or_refused(whole, data)
