from plasticity.store import RunFolder
from plasticity.store.rows import MOST_BYTES_PER_ROW


def test_the_last_row_is_read_from_the_end(tmp_path):
    folder, path = RunFolder(tmp_path), tmp_path / "tasks.csv"
    assert folder.last_row() is None
    rows = folder.open_rows()
    assert folder.last_row() is None  # an empty file
    written = 0
    for task in range(8000):
        rows.append({"task": task, "accuracy": task / 8000, "loss": 0.125})
        written = path.stat().st_size
        if task in (0, 1, 7999):
            assert folder.last_row() == folder.rows()[-1]
            assert folder.last_row() == {"task": str(task), "accuracy": repr(task / 8000), "loss": "0.125"}
    assert written > 2 * MOST_BYTES_PER_ROW
    with open(path, "a") as file:
        file.write("8000,0.")  # its writer was killed
    assert folder.last_row() == {"task": "7999", "accuracy": repr(7999 / 8000), "loss": "0.125"}
    rows.close()
