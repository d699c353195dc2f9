"""Where torchvision's sets lie on this machine and elsewhere: its own addresses and checksums, for our own download."""

from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import NamedTuple
from urllib.parse import urljoin

from jepa_core.config import cache_dir

# What is there once a set is, in its folder; torchvision's own test, which would import torch.
_THERE = {
    "mnist": "MNIST/raw/t10k-labels-idx1-ubyte",
    "fashion-mnist": "FashionMNIST/raw/t10k-labels-idx1-ubyte",
    "cifar-10": "cifar-10-batches-py",
    "cifar-100": "cifar-100-python",
    "svhn": "{split}_32x32.mat",
    "dtd": "dtd/dtd",
    "imagenette": "imagenette2-160",
    "eurosat": "eurosat/2750",
    "flowers102": "flowers-102/jpg",
    "pets": "oxford-iiit-pet/images",
    "food-101": "food-101",
    "stl10": "stl10_binary",
    "places365": "val_256",
}
EUROSAT = (  # torchvision has them in a function
    "https://huggingface.co/datasets/torchgeo/eurosat/resolve/c877bcd43f099cd0196738f714544e355477f3fd/EuroSAT.zip",
    "c8fa014336c82ac7804f0398fcb19387",
)


class RemoteFile(NamedTuple):
    """A file to fetch for a set."""

    urls: tuple[str, ...]  # the same file on several servers
    path: str  # in the set's folder
    md5: str
    unpack: bool = True  # into the folder that it lies in


def folder(which: str) -> Path:
    """The folder of a set, whether it is there or not."""
    return cache_dir() / "datasets" / which


def is_here(which: str, split: str) -> bool:
    """Whether a part of a set was downloaded, without a look into its files."""
    return which in _THERE and (folder(which) / _THERE[which].format(split=split)).exists()


def files_of(which: str, split: str) -> list[RemoteFile]:
    """The files that a part of a set needs."""
    return list(_files_of(which, split))


def _files_of(which: str, split: str) -> Iterator[RemoteFile]:
    from torchvision import datasets as tv

    match which:
        case "mnist" | "fashion-mnist":
            made = tv.MNIST if which == "mnist" else tv.FashionMNIST
            for name, md5 in made.resources:
                yield _file([f"{mirror}{name}" for mirror in made.mirrors], f"{made.__name__}/raw", md5)
        case "cifar-10" | "cifar-100":
            cifar = tv.CIFAR10 if which == "cifar-10" else tv.CIFAR100
            yield _file([cifar.url], "", cifar.tgz_md5)
        case "svhn":
            url, _name, md5 = tv.SVHN.split_list[split]
            yield _file([url], "", md5, unpack=False)
        case "dtd":
            yield _file([tv.DTD._URL], "dtd", tv.DTD._MD5)
        case "imagenette":
            url, md5 = tv.Imagenette._ARCHIVES["160px"]
            yield _file([url], "", md5)
        case "eurosat":
            yield _file([EUROSAT[0]], "eurosat", EUROSAT[1])
        case "flowers102":
            for kind, (name, md5) in tv.Flowers102._file_dict.items():
                yield _file([tv.Flowers102._download_url_prefix + name], "flowers-102", md5, unpack=kind == "image")
        case "pets":
            for url, md5 in tv.OxfordIIITPet._RESOURCES:
                yield _file([url], "oxford-iiit-pet", md5)
        case "food-101":
            yield _file([tv.Food101._URL], "", tv.Food101._MD5)
        case "stl10":
            yield _file([tv.STL10.url], "", tv.STL10.tgz_md5)
        case "places365":
            places = tv.Places365
            for name, md5 in (places._DEVKIT_META["standard"], places._IMAGES_META[split, True]):
                yield _file([urljoin(places._BASE_URL, name)], "", md5)


def _file(urls: list[str], inside: str, md5: str, unpack: bool = True) -> RemoteFile:
    name = PurePosixPath(urls[0]).name
    return RemoteFile(tuple(urls), f"{inside}/{name}" if inside else name, md5, unpack)
