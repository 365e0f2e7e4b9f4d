"""Files of several megabytes come in as they lie on a disk, as a form or as the body, and leave nothing open behind."""

from __future__ import annotations

import gc
import shutil
import tracemalloc
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from service.settings import Settings
from tests.service.api.conftest import SETTINGS, Service

COLUMNS, ROWS = 300, 4000
HEAD = b'--cut\r\nContent-Disposition: form-data; name="file"; filename="big.csv"\r\nContent-Type: text/csv\r\n\r\n'
TAIL = b'\r\n--cut\r\nContent-Disposition: form-data; name="name"\r\n\r\nlarge\r\n--cut--\r\n'
FORM, CSV = "multipart/form-data; boundary=cut", "text/csv"


@pytest.fixture
def roomy(migrated_sqlite: Path, tmp_path: Path) -> Iterator[Service]:
    """An installation that takes large uploads."""
    shutil.copyfile(migrated_sqlite, tmp_path / "sankofa.db")
    made = Service(Settings(data_dir=tmp_path, **{**SETTINGS, "max_upload_bytes": 1 << 26}))
    yield made
    made.context.streams.close()
    made.store.close()


@pytest.fixture(scope="module")
def table(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A CSV file of some 6 MB."""
    path = tmp_path_factory.mktemp("upload") / "big.csv"
    lines = [",".join(f"c{at}" for at in range(COLUMNS)), *(",".join(f"{row}.25" for _ in range(COLUMNS)) for row in range(ROWS))]
    path.write_text("\n".join(lines) + "\n")
    return path


def send(service: Service, path: Path, kind: str) -> Any:
    size = path.stat().st_size
    with path.open("rb") as body:
        return service.api.post("/v1/datasets", input_stream=body, headers={"Content-Type": kind, "Content-Length": str(size)})


@pytest.fixture(scope="module")
def form(table: Path) -> Path:
    """The same file as a part of a form."""
    path = table.with_suffix(".form")
    path.write_bytes(HEAD + table.read_bytes() + TAIL)
    return path


def test_a_large_file_is_taken_as_a_form_and_as_the_body(roomy: Service, table: Path, form: Path) -> None:
    assert table.stat().st_size > 5e6
    as_form, as_body = send(roomy, form, FORM), send(roomy, table, CSV)
    assert (as_form.status_code, as_body.status_code) == (201, 200), as_form.text
    assert as_form.json["id"] == as_body.json["id"]
    assert (as_form.json["name"], as_form.json["rows"], len(as_form.json["columns"])) == ("large", ROWS, COLUMNS)
    gc.collect()  # a file that was left open would be a ResourceWarning now


def test_a_large_file_is_not_held_in_memory(roomy: Service, form: Path) -> None:
    send(roomy, form, FORM)
    tracemalloc.start()
    send(roomy, form, FORM)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 4 * COLUMNS * ROWS * 2 + 12e6, "the table, its pieces and a few blocks"


def test_a_large_form_that_is_refused_leaves_nothing_open(roomy: Service, form: Path) -> None:
    form = form.with_suffix(".cut")
    form.write_bytes((HEAD + b"a,b\n" + b"1,2\n" * 500_000)[: 1 << 21])  # it ends within the file
    assert send(roomy, form, FORM).status_code == 400
    gc.collect()
    assert roomy.api.get("/v1/datasets").json["data"] == []


def test_a_file_without_a_file_name_is_told_what_it_lacks(roomy: Service, table: Path) -> None:
    form = table.with_suffix(".field")
    form.write_bytes(HEAD.replace(b'; filename="big.csv"', b"") + table.read_bytes() + TAIL)
    response = send(roomy, form, FORM)
    assert response.status_code == 413
    assert "file name" in response.json["detail"]


def test_a_body_that_is_not_the_gzip_its_header_names_is_refused(service: Service) -> None:
    response = service.api.post("/v1/datasets", data=b"a,b\n1,2\n", headers={"Content-Type": CSV, "Content-Encoding": "gzip"})
    assert (response.status_code, response.json["code"]) == (400, "not_gzip")
