"""WebDataset shards, one or many, made by webdataset's own writer and held against its own reader."""

import io
import tarfile
from collections.abc import Iterator
from pathlib import Path

import pytest
import webdataset
from webdataset.tariterators import group_by_keys, tar_file_expander

from jepa_core.datasets.readers import shards
from jepa_core.datasets.registry import get_dataset
from jepa_core.errors import DatasetError
from tests.helpers import png

# A picture, and the files beside it that name its class.
MARKS = [{"cls": 7}, {"json": {"label": "kite"}}, {"txt": "n01608432"}, {}]


def write(pattern: Path, pictures: int, each: int = 4) -> None:
    """Shards of that many pictures, named by a pattern with %d."""
    with webdataset.ShardWriter(str(pattern), maxcount=each, verbose=0) as writer:
        for seed in range(pictures):
            writer.write({"__key__": f"{seed:05d}", "png": png(seed), **MARKS[seed % len(MARKS)]})


def samples(folder: Path) -> Iterator[tuple[Path, dict]]:
    """What webdataset reads in the shards of a folder."""
    for path in sorted(folder.glob("*.tar")):
        with path.open("rb") as stream:
            for sample in group_by_keys(tar_file_expander([{"url": str(path), "stream": stream}])):
                yield path, sample


@pytest.fixture
def folder(tmp_path):
    write(tmp_path / "shard-%03d.tar", 10)
    return tmp_path


@pytest.mark.parametrize(
    "pattern", ["shard-{000..002}.tar", "shard-*.tar", "shard-00{0,1,2}.tar", "./shard-[0-9]*.tar"]
)
def test_a_pattern_names_all_its_shards(folder, monkeypatch, pattern):
    monkeypatch.chdir(folder)
    spec = get_dataset(pattern)
    expected = [(f"{path.name}/{sample['__key__']}.png", sample["png"]) for path, sample in samples(folder)]
    assert len(expected) == 10
    assert [(item.name, item.read()) for item in spec.items()] == expected
    assert [item.label for item in spec.items()][:5] == ["7", "kite", "kite (n01608432)", "(no class)", "7"]
    assert spec.title.endswith(".tar, 3 shards")


def test_a_pattern_is_a_name_like_any_other(folder):
    spec = get_dataset(f"{folder}/shard-{{000..002}}.tar")
    assert get_dataset(spec.name) == spec
    some = get_dataset(f"{spec.name}#4:1")
    assert (len(some), some.name) == (4, f"{spec.name}#4:1")
    assert {item.name for item in some.items()} <= {item.name for item in spec.items()}


def test_shards_of_one_name_in_several_folders_are_kept_apart(tmp_path):
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        write(tmp_path / name / "%d.tar", 1)
    assert [item.name for item in get_dataset(f"{tmp_path}/*/0.tar").items()] == [
        "a/0.tar/00000.png",
        "b/0.tar/00000.png",
    ]


def test_a_shard_that_is_written_anew_is_listed_anew(folder):
    pattern = f"{folder}/shard-*.tar"
    before = get_dataset(pattern)
    write(folder / "shard-%03d.tar", 2)
    after = get_dataset(pattern)
    assert (len(before), len(after)) == (10, 2 + 6)
    assert before.fingerprint != after.fingerprint


@pytest.mark.parametrize("suffix", [".tar", ".tar.gz"])
@pytest.mark.parametrize("kept", [2000, 5120, 0], ids=["within a file", "between two files", "nothing"])
def test_a_damaged_shard_is_named(tmp_path, suffix, kept):
    write(tmp_path / f"shard-%d{suffix}", 8)
    path = tmp_path / f"shard-1{suffix}"
    path.write_bytes(path.read_bytes()[:kept])
    with pytest.raises(
        DatasetError, match=rf"The archive {path} cannot be read \(.*\); a whole ZIP or tar is accepted"
    ):
        get_dataset(f"{tmp_path}/shard-{{0..1}}{suffix}")


def test_a_class_in_damaged_json_is_said(tmp_path):
    path = tmp_path / "shard.tar"
    (tmp_path / "0.png").write_bytes(png(0))
    (tmp_path / "0.json").write_text('{"label": ')
    with tarfile.open(path, "w") as archive:
        for name in ("0.png", "0.json"):
            archive.add(tmp_path / name, name)
    with pytest.raises(DatasetError, match=rf"The archive {path} cannot be read \(Expecting value"):
        get_dataset(str(path))


@pytest.mark.parametrize(
    ("pattern", "said"),
    [
        ("shard-{000..003}.tar", "The shard .*shard-003.tar is not there"),
        ("part-*.tar", "There is no archive that .*part-.*names"),
        ("shard-{000..002.tar", "The braces of .* do not match"),
        ("shard-{0..10000}.tar", "names more than 10000 archives"),
        ("shard-{0..99999999999999}.tar", "names more than 10000 archives"),
        ("{0..999}-{0..999}*.tar", "names more than 10000 archives"),
    ],
)
def test_a_pattern_that_names_nothing_usable_is_said(folder, pattern, said):
    with pytest.raises(DatasetError, match=said):
        get_dataset(f"{folder}/{pattern}")


def test_more_shards_than_the_limit_are_said(folder, monkeypatch):
    monkeypatch.setattr(shards, "MOST_SHARDS", 2)
    with pytest.raises(DatasetError, match="names more than 2 archives; up to 2 are accepted; name fewer"):
        get_dataset(f"{folder}/*.tar")


def test_a_server_for_visitors_reads_only_its_own_shards(monkeypatch, tmp_path):
    outside = tmp_path / "outside"
    outside.mkdir()
    write(outside / "secret-%d.tar", 1)
    own = tmp_path / "own"
    own.mkdir()
    write(own / "%d.tar", 2)
    monkeypatch.setenv("JEPA_DATA_ROOTS", str(own))
    assert len(get_dataset(f"{own}/*.tar")) == 2
    # What is there and what is not is answered alike.
    for pattern in ("secret-*.tar", "other-*.tar", "secret-{0..0}.tar"):
        with pytest.raises(DatasetError, match="is outside what this server may read"):
            get_dataset(f"{outside}/{pattern}")
    with pytest.raises(DatasetError, match="is outside what this server may read"):
        get_dataset(f"{own}/{{0,../outside/secret-0}}.tar")
    (own / "link.tar").symlink_to(outside / "secret-0.tar")
    with pytest.raises(DatasetError, match="is outside what this server may read"):
        get_dataset(f"{own}/*.tar")


# --- marks ------------------------------------------------------------------------------------------------------------


def shard(path: Path, files: dict[str, bytes]) -> list[tuple[str, str]]:
    """The names and classes of the pictures of a tar with these files, in this order."""
    with tarfile.open(path, "w") as archive:
        for name, data in files.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))
    return [(item.name, item.label) for item in get_dataset(str(path)).items()]


def numbered(ending: str, *texts: str) -> dict[str, bytes]:
    return {f"{number}{ending}": text.encode() for number, text in enumerate(texts)}


PICTURES = {f"{number}.png": png(number) for number in range(4)}


@pytest.mark.parametrize("behind", [True, False])
def test_the_files_of_a_sample_need_not_lie_together(tmp_path, behind):
    marks = numbered(".cls", "3", "0", "3", "0")
    files = PICTURES | marks if behind else marks | PICTURES
    assert [label for _, label in shard(tmp_path / "a.tar", files)] == ["3", "0", "3", "0"]


def test_marks_are_found_by_keys_with_dots_folders_and_several_pictures(tmp_path):
    files = {
        "v1.0/img.v2.jpg": png(0),
        "v1.0/img.v2.cls": b"1",
        "v1.0/sample.jpg": png(1),
        "v1.0/sample.seg.png": png(2),
        "v1.0/sample.CLS": b"2\n",
        "other/alone.png": png(3),
    }
    found = dict(shard(tmp_path / "a.tar", files))
    assert found == {
        "v1.0/img.v2.jpg": "1",
        "v1.0/sample.jpg": "2",
        "v1.0/sample.seg.png": "2",
        "other/alone.png": "other",
    }


@pytest.mark.parametrize(
    ("texts", "labels"),
    [
        (["kite", "heron", "kite", "crow"], ["kite", "heron", "kite", "crow"]),
        (["red kite", "grey heron", "red kite", "red kite"], ["red kite", "grey heron", "red kite", "red kite"]),
        (["a kite in the sky", "a heron", "two crows", "a red kite"], ["(no class)"] * 4),
        (["kite\nin the sky", "kite", "kite", "kite"], ["(no class)"] * 4),
        (["kite" * 20, "kite", "kite", "kite"], ["(no class)"] * 4),
    ],
)
def test_a_caption_is_no_class(tmp_path, texts, labels):
    assert [label for _, label in shard(tmp_path / "a.tar", PICTURES | numbered(".txt", *texts))] == labels


def test_a_caption_beside_a_picture_in_a_class_names_none(tmp_path):
    files = {"cat/1.png": png(0), "cat/1.txt": b"tabby", "dog/2.png": png(1), "dog/2.txt": b"puppy"}
    assert [label for _, label in shard(tmp_path / "a.tar", files)] == ["cat", "dog"]


def test_a_list_of_classes_names_the_numbers(tmp_path):
    files = (
        PICTURES | numbered(".cls", "1", "0", "2", "1") | {"classes.txt": b"maillot\nmaillot, tank suit\nred shank\n"}
    )
    labels = ["maillot, tank suit", "maillot", "red shank", "maillot, tank suit"]
    assert [label for _, label in shard(tmp_path / "a.tar", files)] == labels
    files["classes.txt"] = b"too\nfew"
    assert [label for _, label in shard(tmp_path / "b.tar", files)] == ["1", "0", "2", "1"]


@pytest.mark.parametrize("text", ['{"a": 1}\n{"a": 2}', "[[" * 9, '{"label": ', "\ufeff{}"])
def test_files_that_are_beside_no_picture_say_nothing(tmp_path, text):
    files = PICTURES | {"annotations.json": text.encode(), "meta/info.json": text.encode()}
    assert [label for _, label in shard(tmp_path / "x.tar", files)] == ["(no class)"] * 4


def test_json_without_a_class_and_bytes_that_are_no_text(tmp_path):
    files = PICTURES | numbered(".json", '{"label": 3}', '{"cls": "kite"}', '{"label": {"a": 1}}', '{"caption": "x"}')
    assert [label for _, label in shard(tmp_path / "a.tar", files)] == ["3", "kite", "(no class)", "(no class)"]
    files = PICTURES | {"0.cls": b"\xff", "1.cls": b"\xfe", "2.cls": b"9" * 300}
    assert [label for _, label in shard(tmp_path / "b.tar", files)] == ["\\xff", "\\xfe", "(no class)", "(no class)"]


def test_shards_of_one_class_each_keep_it(tmp_path):
    for name in ("cat", "dog"):
        shard(tmp_path / f"{name}.tar", {f"set/{name}/{number}.png": png(number) for number in range(2)})
        (tmp_path / f"._{name}.tar").write_bytes(b"what a Mac adds")
    found = [(item.name, item.label) for item in get_dataset(f"{tmp_path}/*.tar").items()]
    assert found[1:3] == [("cat.tar/cat/1.png", "cat"), ("dog.tar/dog/0.png", "dog")]
    assert len(found) == 4


@pytest.mark.parametrize("pattern", ["PART-{0..1}", "PART-*", "PART-?"])
def test_shards_need_no_ending(tmp_path, pattern):
    for number in range(2):
        shard(tmp_path / f"PART-{number}", {f"{number}.png": png(number), f"{number}.cls": b"7"})
    assert [item.label for item in get_dataset(f"{tmp_path}/{pattern}").items()] == ["7", "7"]
    (tmp_path / "UPPER-0.TAR").write_bytes((tmp_path / "PART-0").read_bytes())
    assert len(get_dataset(f"{tmp_path}/UPPER-*.TAR")) == 1
