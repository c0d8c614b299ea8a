"""Image sets other than MNIST: small files in their formats, made here and served on this machine."""

import gzip
import hashlib
import io
import socket
import threading
import zipfile
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import SimpleNamespace

import numpy as np
import pytest

from plasticity.datasets import PermutedMnist, image_sets
from plasticity.datasets.fetching import ImageSet
from plasticity.datasets.image_files import Archive, GzippedFile
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
    }
    assert IMAGE_SETS["emnist_balanced"].archive == Archive(
        "gzip.zip", "58c8d27c78d21e728a6bc7b3cc06412e", "gzip"
    )
    assert [each.classes for each in IMAGE_SETS.values()] == [10, 10, 10, 47]
