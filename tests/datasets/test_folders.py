"""Folders as datasets: which images they hold and in what order, what is said when not, and what a host may close."""

import os
from pathlib import Path

import pytest
from PIL import Image

from jepa_core import images
from jepa_core.datasets.folders import readable
from jepa_core.datasets.registry import get_dataset
from jepa_core.errors import DatasetError


@pytest.fixture(autouse=True)
def at_home(monkeypatch):
    monkeypatch.delenv("JEPA_DATA_ROOTS", raising=False)


def put(path: Path, colour: str = "red") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", (4, 4), colour).save(path)
    return path


def listed(folder: Path | str) -> list[tuple[str, str]]:
    return [(item.label, item.name) for item in get_dataset(str(folder)).items()]


def test_sub_folders_are_classes_and_the_order_is_natural(tmp_path):
    for name in ("cat/10.png", "cat/9.jpg", "cat/deep/er/1.png", "Bird/a.PNG", "ant 2/x.webp", "ant 10/x.gif", "z.bmp"):
        put(tmp_path / name)
    (tmp_path / "cat" / "notes.txt").write_text("not a picture")
    spec = get_dataset(str(tmp_path))
    assert [(item.label, item.name) for item in spec.items()] == [
        ("ant 2", "ant 2/x.webp"),
        ("ant 10", "ant 10/x.gif"),
        ("Bird", "Bird/a.PNG"),
        ("cat", "cat/9.jpg"),
        ("cat", "cat/10.png"),
        ("cat", "cat/deep/er/1.png"),
        ("(no class)", "z.bmp"),
    ]
    assert spec.labels() == ("ant 2", "ant 10", "Bird", "cat", "(no class)")
    assert [item.position for item in spec.items("cat")] == [3, 4, 5]
    assert (spec.source, len(spec), spec.title) == ("folder", 7, tmp_path.name)


def test_one_image_is_a_dataset(tmp_path):
    file = put(tmp_path / "only.png")
    (item,) = get_dataset(str(tmp_path)).items()
    assert (item.label, item.name, item.read()) == ("(no class)", "only.png", file.read_bytes())
    assert item.digest == images.digest(file.read_bytes())


@pytest.mark.parametrize("form", ["{}", "folder:{}", "{}/", "{}/cat/.."])
def test_all_forms_of_a_path_are_one_dataset(tmp_path, form):
    put(tmp_path / "cat" / "1.png")
    assert get_dataset(form.format(tmp_path)).name == f"folder:{tmp_path}"


def test_relative_and_home_paths(tmp_path, monkeypatch):
    put(tmp_path / "pets" / "1.png")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("USERPROFILE", str(tmp_path))
    for form in ("pets", "./pets", "~/pets"):
        assert get_dataset(form).name == f"folder:{tmp_path / 'pets'}"


def test_a_bundled_name_is_never_a_folder(tmp_path, monkeypatch):
    put(tmp_path / "shapes" / "1.png")
    monkeypatch.chdir(tmp_path)
    assert len(get_dataset("shapes")) == 300
    assert len(get_dataset("./shapes")) == 1


def test_hidden_files_and_folders_are_skipped(tmp_path):
    for name in ("a.png", ".b.png", ".git/c.png", "d/.thumbs/e.png", "d/f.png"):
        put(tmp_path / name)
    assert listed(tmp_path) == [("d", "d/f.png"), ("(no class)", "a.png")]


def test_loops_of_links_end(tmp_path):
    put(tmp_path / "a" / "1.png")
    (tmp_path / "a" / "up").symlink_to(tmp_path)
    (tmp_path / "round").symlink_to(tmp_path / "round")
    (tmp_path / "gone.png").symlink_to(tmp_path / "nowhere.png")
    assert listed(tmp_path) == [("a", "a/1.png")]
    with pytest.raises(DatasetError, match="There is no folder"):
        get_dataset(str(tmp_path / "round"))


def test_links_to_other_folders_are_followed(tmp_path):
    put(tmp_path / "elsewhere" / "1.png")
    (tmp_path / "set").mkdir()
    (tmp_path / "set" / "dogs").symlink_to(tmp_path / "elsewhere")
    assert listed(tmp_path / "set") == [("dogs", "dogs/1.png")]


@pytest.mark.parametrize(("name", "shown"), [("café.png", "café.png"), ("caf\udce9.png", "caf\\udce9.png")])
def test_a_name_that_is_not_text_is_made_readable(name, shown):
    """As Python gives the name of a file that another system wrote in another encoding."""
    assert readable(name) == shown


def test_names_that_differ_only_in_bytes_that_are_no_text_stay_apart(tmp_path):
    data = put(tmp_path / "plain.png").read_bytes()
    try:
        for name in (b"a\xe9.png", b"a\xea.png"):
            (tmp_path / os.fsdecode(name)).write_bytes(data)
    except OSError:
        pytest.skip("this file system has no such names")
    names = [item.name for item in get_dataset(str(tmp_path)).items()]
    assert names == ["a\\udce9.png", "a\\udcea.png", "plain.png"]


def test_a_file_that_has_gone_is_told(tmp_path):
    file = put(tmp_path / "1.png")
    (item,) = get_dataset(str(tmp_path)).items()
    file.unlink()
    with pytest.raises(DatasetError) as caught:
        item.read()
    assert str(caught.value) == (
        f"The image {file} cannot be read (No such file or directory); "
        "a file that was there when the folder was listed is accepted; open the folder again."
    )


def test_a_folder_without_images(tmp_path):
    (tmp_path / "notes.txt").write_text("nothing to see")
    with pytest.raises(DatasetError) as caught:
        get_dataset(str(tmp_path))
    assert str(caught.value) == (
        f"The folder {tmp_path} has no images; files that end in .apng, .avif, .bmp, .dib, .gif, .heic, .heif, "
        ".hif, .j2c, .j2k, .jfif, .jp2, .jpc, .jpe, .jpeg, .jpf, .jpg, .jpx, .mpo, .pbm, .pfm, .pgm, .png, .pnm, "
        ".ppm, .psd, .tif, .tiff, .webp are accepted, also in its sub-folders; choose another folder."
    )


def test_a_path_that_is_no_folder(tmp_path):
    for path in (tmp_path / "nowhere", put(tmp_path / "file.png")):
        with pytest.raises(DatasetError) as caught:
            get_dataset(str(path))
        assert str(caught.value) == (
            f"There is no folder {str(path)!r}; the name of a bundled dataset, or the path of a folder, ZIP or tar of "
            "images, is accepted; check the spelling."
        )


# --- hosted -----------------------------------------------------------------------------------------------------------


@pytest.fixture
def hosted(tmp_path, monkeypatch):
    """Two roots that may be read, and a secret folder beside them."""
    for name in ("open/pets/1.png", "also/2.png", "secret/3.png", "open-not/4.png"):
        put(tmp_path / name)
    roots = [str(tmp_path / "open"), str(tmp_path / "also")]
    monkeypatch.setenv("JEPA_DATA_ROOTS", os.pathsep.join(roots))
    return tmp_path


@pytest.mark.parametrize("folder", ["open", "open/pets", "also", "secret/../open"])
def test_hosted_folders_within_the_roots_are_read(hosted, folder):
    assert len(get_dataset(str(hosted / folder))) == 1


@pytest.mark.parametrize("folder", ["secret", "open-not", "open/../secret", "open/link", ".", "nowhere"])
def test_hosted_folders_outside_the_roots_are_refused(hosted, folder):
    (hosted / "open" / "link").symlink_to(hosted / "secret")
    with pytest.raises(DatasetError) as caught:
        get_dataset(f"{hosted}/{folder}")
    assert str(caught.value) == (
        f"The folder {f'{hosted}/{folder}'!r} is outside what this server may read; "
        f"a folder in {hosted / 'open'} or {hosted / 'also'} is accepted; choose one there."
    )


def test_hosted_links_that_lead_outside_are_not_listed(hosted):
    (hosted / "open" / "link").symlink_to(hosted / "secret")
    (hosted / "open" / "link.png").symlink_to(hosted / "secret" / "3.png")
    assert listed(hosted / "open") == [("pets", "pets/1.png")]


@pytest.mark.usefixtures("hosted")
def test_hosted_bundled_datasets_are_open_to_all():
    assert [len(get_dataset(name)) for name in ("shapes", "digits-test")] == [300, 360]


@pytest.mark.parametrize("given", [" ", os.pathsep, f" {os.pathsep} "])
def test_roots_that_name_no_folder_open_none(hosted, monkeypatch, given):
    monkeypatch.setenv("JEPA_DATA_ROOTS", given)
    with pytest.raises(DatasetError) as caught:
        get_dataset(str(hosted / "open"))
    assert str(caught.value) == (
        f"The folder {str(hosted / 'open')!r} may not be read: JEPA_DATA_ROOTS is set but names no folder; only the "
        f"bundled datasets are accepted; choose one, or set the variable to folders with {os.pathsep!r} between them."
    )


def test_empty_roots_confine_to_nothing(hosted, monkeypatch):
    monkeypatch.setenv("JEPA_DATA_ROOTS", "")
    assert len(get_dataset(str(hosted / "secret"))) == 1
