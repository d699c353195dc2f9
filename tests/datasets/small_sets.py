"""Small sets in the true formats of torchvision's, laid on a server on loopback in the place of the real ones."""

import gzip
import hashlib
import io
import json
import pickle
import struct
import tarfile
import zipfile
from collections.abc import Callable

import numpy as np
import pytest
import scipy.io
from torchvision import datasets as tv

from jepa_core.datasets.readers import torchvision_files
from tests.helpers import picture
from tests.hub import Hub

RNG = np.random.default_rng(0)
LABELS = [3, 1, 0]  # of the three pictures of each part


def idx(array: np.ndarray) -> bytes:
    """The IDX format of MNIST: two zeros, the type, the dimensions, then the values."""
    head = struct.pack(">HBB", 0, 8, array.ndim) + struct.pack(f">{array.ndim}I", *array.shape)
    return gzip.compress(head + array.astype(np.uint8).tobytes())


def jpeg(seed: int) -> bytes:
    stream = io.BytesIO()
    picture(seed).save(stream, "JPEG")
    return stream.getvalue()


def tar(files: dict[str, bytes], mode: str = "w:gz") -> bytes:
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode=mode) as archive:
        for name, content in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
    return stream.getvalue()


def md5(content: bytes) -> str:
    return hashlib.md5(content).hexdigest()


def pixels(*shape: int) -> np.ndarray:
    return RNG.integers(0, 256, shape, dtype=np.uint8)


class Served:
    """A server's files, and torchvision's addresses and checksums turned to them."""

    def __init__(self, server: Hub, patch: pytest.MonkeyPatch) -> None:
        self.server, self.patch = server, patch

    def put(self, path: str, content: bytes) -> tuple[str, str]:
        """Address and checksum of a file."""
        self.server.files[path] = content
        return f"{self.server.address}/{path}", md5(content)

    def mnist(self, made: type = tv.MNIST, path: str = "mnist") -> None:
        resources = []
        for part in ("train", "t10k"):
            for kind, array in (("images-idx3", pixels(3, 28, 28)), ("labels-idx1", np.array(LABELS))):
                name = f"{part}-{kind}-ubyte.gz"
                resources.append((name, self.put(f"{path}/{name}", idx(array))[1]))
        self.patch.setattr(made, "resources", resources)
        self.patch.setattr(made, "mirrors", [f"{self.server.address}/{path}/"])

    def fashion_mnist(self) -> None:
        self.mnist(tv.FashionMNIST, "fashion")

    def cifar_10(self, made: type = tv.CIFAR10, key: str = "labels", words: tuple[str, ...] = tuple("abcd")) -> None:
        batch = pickle.dumps({"data": pixels(3, 3072), key: LABELS})
        meta = pickle.dumps({made.meta["key"]: list(words)})
        files = {name: batch for name, _sum in made.train_list + made.test_list} | {made.meta["filename"]: meta}
        archive = tar({f"{made.base_folder}/{name}": content for name, content in files.items()})
        url, digest = self.put(made.filename, archive)
        self.patch.setattr(made, "url", url)
        self.patch.setattr(made, "tgz_md5", digest)
        for field in ("train_list", "test_list"):
            self.patch.setattr(made, field, [[name, md5(files[name])] for name, _sum in getattr(made, field)])
        self.patch.setattr(made, "meta", made.meta | {"md5": md5(meta)})

    def cifar_100(self) -> None:
        self.cifar_10(tv.CIFAR100, "fine_labels")

    def svhn(self) -> None:
        for part in ("train", "test"):
            stream = io.BytesIO()
            scipy.io.savemat(stream, {"X": pixels(32, 32, 3, 3), "y": np.array([[3], [1], [10]])})
            name = f"{part}_32x32.mat"
            url, digest = self.put(name, stream.getvalue())
            self.patch.setitem(tv.SVHN.split_list, part, [url, name, digest])

    def dtd(self) -> None:
        files = {
            f"dtd/images/{word}/{word}_0001.jpg": jpeg(seed) for seed, word in enumerate(("dotted", "lined", "wavy"))
        }
        lists = "\n".join(name.removeprefix("dtd/images/") for name in files).encode()
        files |= {f"dtd/labels/{part}1.txt": lists for part in ("train", "val", "test")}
        self._archive(tv.DTD, "_URL", "_MD5", "dtd-r1.0.1.tar.gz", tar(files))

    def imagenette(self) -> None:
        files = {
            f"imagenette2-160/{part}/{wnid}/{wnid}_{part}.JPEG": jpeg(seed)
            for part in ("train", "val")
            for seed, wnid in enumerate(("n01440764", "n02102040", "n03888257"))
        }
        self.patch.setitem(tv.Imagenette._ARCHIVES, "160px", self.put("imagenette2-160.tgz", tar(files)))

    def eurosat(self) -> None:
        stream = io.BytesIO()
        with zipfile.ZipFile(stream, "w") as archive:
            for seed, word in enumerate(("Forest", "River", "SeaLake")):
                archive.writestr(f"2750/{word}/{word}_1.jpg", jpeg(seed))
        self.patch.setattr(torchvision_files, "EUROSAT", self.put("EuroSAT.zip", stream.getvalue()))

    def flowers102(self) -> None:
        files = {f"jpg/image_{number:05d}.jpg": jpeg(number) for number in (1, 2, 3)}
        named: dict[str, tuple[str, bytes]] = {"image": ("102flowers.tgz", tar(files))}
        for kind, name, values in (
            ("label", "imagelabels.mat", {"labels": np.array([4, 2, 1])}),
            ("setid", "setid.mat", {one: np.array([1, 2, 3]) for one in ("trnid", "valid", "tstid")}),
        ):
            stream = io.BytesIO()
            scipy.io.savemat(stream, values)
            named[kind] = (name, stream.getvalue())
        self.patch.setattr(tv.Flowers102, "_download_url_prefix", f"{self.server.address}/flowers/")
        table = {kind: (name, self.put(f"flowers/{name}", content)[1]) for kind, (name, content) in named.items()}
        self.patch.setattr(tv.Flowers102, "_file_dict", table)

    def pets(self) -> None:
        names = ("Abyssinian_1", "basset_hound_2", "Bengal_3")
        pictures = tar({f"images/{name}.jpg": jpeg(seed) for seed, name in enumerate(names)})
        lines = "\n".join(f"{name} {number} 1 1" for number, name in enumerate(names, 1)).encode()
        lists = tar({f"annotations/{part}.txt": lines for part in ("trainval", "test")})
        served = (self.put("pets/images.tar.gz", pictures), self.put("pets/annotations.tar.gz", lists))
        self.patch.setattr(tv.OxfordIIITPet, "_RESOURCES", served)

    def food_101(self) -> None:
        files = {f"food-101/images/{word}/1.jpg": jpeg(seed) for seed, word in enumerate(("pizza", "ramen", "tacos"))}
        meta = json.dumps({word: [f"{word}/1"] for word in ("pizza", "ramen", "tacos")}).encode()
        files |= {f"food-101/meta/{part}.json": meta for part in ("train", "test")}
        self._archive(tv.Food101, "_URL", "_MD5", "food-101.tar.gz", tar(files))

    def stl10(self) -> None:
        files = {}
        for part in ("train", "test"):
            files[f"{part}_X.bin"] = pixels(3, 3, 96, 96).tobytes()
            files[f"{part}_y.bin"] = bytes(label + 1 for label in LABELS)
        files["unlabeled_X.bin"] = pixels(1, 3, 96, 96).tobytes()
        for field in ("train_list", "test_list"):
            self.patch.setattr(tv.STL10, field, [[name, md5(files[name])] for name, _sum in getattr(tv.STL10, field)])
        files["class_names.txt"] = b"airplane\nbird\ncar\ncat\n"
        archive = tar({f"stl10_binary/{name}": content for name, content in files.items()})
        self._archive(tv.STL10, "url", "tgz_md5", "stl10_binary.tar.gz", archive)

    def places365(self) -> None:
        categories = b"/a/alley 0\n/b/bar 1\n/z/zen_garden 2\n"
        listed = "".join(f"Places365_val_{number}.jpg {number}\n" for number in range(3)).encode()
        kit = tar({"categories_places365.txt": categories, "places365_val.txt": listed}, "w")
        pictures = tar({f"val_256/Places365_val_{number}.jpg": jpeg(number) for number in range(3)}, "w")
        made = tv.Places365
        self.patch.setattr(made, "_BASE_URL", f"{self.server.address}/places/")
        self.patch.setattr(made, "_CATEGORIES_META", ("categories_places365.txt", md5(categories)))
        self.patch.setitem(made._FILE_LIST_META, "val", ("places365_val.txt", md5(listed)))
        self.patch.setitem(made._DEVKIT_META, "standard", ("kit.tar", self.put("places/kit.tar", kit)[1]))
        self.patch.setitem(
            made._IMAGES_META, ("val", True), ("val_256.tar", self.put("places/val_256.tar", pictures)[1])
        )

    def _archive(self, made: type, url: str, digest: str, path: str, content: bytes) -> None:
        for field, value in zip((url, digest), self.put(path, content), strict=True):
            self.patch.setattr(made, field, value)


def serve(which: str, server: Hub, patch: pytest.MonkeyPatch) -> None:
    """Put a set of torchvision on the server."""
    make: Callable[[], None] = getattr(Served(server, patch), which.replace("-", "_"))
    make()
