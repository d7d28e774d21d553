"""`include`: files that are merged into a configuration, which of them wins, and where errors are reported."""

import re
from pathlib import Path

import pytest

from edge_tdn.capture.address import locate
from edge_tdn.config.credentials import broker_access, camera_access
from edge_tdn.config.load import load
from edge_tdn.demo.demo_clip import demo_clip
from edge_tdn.errors import ConfigError

CAMERA = '[[camera]]\nname = "a"\nsource = "a.mp4"\n'
INCLUDE = 'include = ["conf.d/*.toml"]\n'


def write(folder: Path, **files: str) -> Path:
    """Write the files, `site` and those of conf.d, and return the path of site.toml."""
    (folder / "conf.d").mkdir(exist_ok=True)
    for name, text in files.items():
        path = folder / "site.toml" if name == "site" else folder / "conf.d" / f"{name}.toml"
        path.write_text(text)
    return folder / "site.toml"


def error_of(path: Path) -> str:
    with pytest.raises(ConfigError) as raised:
        load(path)
    return str(raised.value)


def test_the_main_file_wins_over_included_files_and_a_later_one_over_an_earlier_one(tmp_path: Path) -> None:
    config = load(
        write(
            tmp_path,
            b20="[decide]\nenter_threshold = 0.7\nexit_threshold = 0.3\nonly = ['x']\n",
            b10="host = 'all'\n[decide]\nenter_threshold = 0.9\nexit_threshold = 0.2\nseveral = true\n",
            site=f"{INCLUDE}host = 'barn'\n[decide]\nenter_threshold = 0.8\nonly = ['y', 'z']\n{CAMERA}",
        )
    )
    decide = config.decide
    assert (config.host, decide.enter_threshold, decide.exit_threshold, decide.several) == ("barn", 0.8, 0.3, True)
    assert decide.only == ("y", "z"), "a list is a value: it is replaced as a whole"
    assert [Path(name).name for name in config.file.read] == ["b10.toml", "b20.toml", "site.toml"]


def test_cameras_and_actions_are_collected_from_all_files(tmp_path: Path) -> None:
    config = load(
        write(
            tmp_path,
            a=CAMERA.replace('"a"', '"gate"') + '[[decide.action]]\nname = "fall"\n',
            b=CAMERA.replace('"a"', '"roof"'),
            site=INCLUDE + '[[decide.action]]\nname = "run"\n' + CAMERA,
        )
    )
    assert [camera.name for camera in config.camera] == ["gate", "roof", "a"]
    assert [action.name for action in config.decide.action] == ["fall", "run"]


def test_a_table_that_two_files_write_in_different_ways_is_refused_and_not_dropped(tmp_path: Path) -> None:
    wrong = '[camera]\nname = "gate"\n'
    for files in ({"a": wrong, "site": INCLUDE + CAMERA}, {"a": CAMERA, "site": INCLUDE + wrong}):
        assert "camera: write [[camera]], with two brackets" in error_of(write(tmp_path, **files))
    for files in (
        {"a": "decide = 1\n", "site": f"{INCLUDE}[decide]\nseveral = true\n{CAMERA}"},
        {"a": "[decide]\nseveral = true\n", "site": f"{INCLUDE}decide = 1\n{CAMERA}"},
    ):
        assert "decide = 1: should be a table" in error_of(write(tmp_path, **files))


def test_an_error_names_the_file_in_which_the_key_stands(tmp_path: Path) -> None:
    path = write(
        tmp_path,
        a="\n[decide]\nenter_treshold = 0.5\nupdate_rise = 2.0\n" + CAMERA.replace('"a"', '"gate"') + "hop = 0\n",
        b="[broker]\npassword_file = 'x'\n",
        site=f"{INCLUDE}[broker]\nkeepalive_s = 5\n{CAMERA}\n[[camera]]\nname = 'b'\n",
    )
    folder = re.escape(str(tmp_path))
    lines = error_of(path).splitlines()
    for pattern in (
        rf"{folder}/conf\.d/a\.toml:3: decide\.enter_treshold: unknown key; did you mean 'enter_threshold'",
        rf"{folder}/conf\.d/a\.toml:4: decide\.update_rise = 2\.0: should be less",
        rf"{folder}/conf\.d/a\.toml:8: camera\[0\]\.hop = 0: should be greater",
        rf"{folder}/conf\.d/b\.toml:1, {folder}/site\.toml:2: broker: password_file needs a username",
        rf"{folder}/site\.toml:8: camera\[1\]\.source: required key is missing",
    ):
        assert [line for line in lines if re.match(pattern, line)], (pattern, lines)
    assert len(lines) == 5


def test_a_name_that_two_files_use_is_refused_with_both_files(tmp_path: Path) -> None:
    message = error_of(write(tmp_path, a="\n" + CAMERA, site=INCLUDE + CAMERA))
    places = f"{tmp_path}/conf.d/a.toml:2, {tmp_path}/site.toml:2: camera: "
    assert message == f"{places}duplicate camera name 'a'; each camera needs a unique name"


def test_relative_paths_start_at_the_file_in_which_they_stand(tmp_path: Path) -> None:
    (tmp_path / "conf.d").mkdir()
    (tmp_path / "conf.d/password").write_text("fleet\n")
    (tmp_path / "password").write_text("site\n")
    camera = '[[camera]]\nname = "{}"\nsource = "{}"\nusername = "me"\npassword_file = "password"\n'
    config = load(
        write(
            tmp_path,
            a='[broker]\nusername = "u"\npassword_file = "password"\n[record]\nfolder = "clips"\n[outbox]\n'
            'folder = "auto"\n[runtime]\nmodel = "models/door"\ncache = "off"\n'
            + camera.format("gate", "rtsp://cam/1"),
            site=INCLUDE + camera.format("a", "rtsp://cam/2") + '[[camera]]\nname = "b"\nsource = "b.mp4"\n',
        )
    )
    assert broker_access(config.broker, tmp_path).password == "fleet"
    assert [camera_access(one, tmp_path).password for one in config.camera[:2]] == ["fleet", "site"]
    assert config.record.folder == f"{tmp_path}/conf.d/clips"
    assert config.runtime.model == f"{tmp_path}/conf.d/models/door"
    assert (config.outbox.folder, config.runtime.cache) == ("auto", "off")
    assert (config.camera[0].source, config.camera[2].source) == ("rtsp://cam/1", "b.mp4")


def test_relative_paths_start_at_their_file_however_the_main_file_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As with `--config etc/site.toml`."""
    (tmp_path / "etc").mkdir()
    write(tmp_path / "etc", a='[[camera]]\nname = "gate"\nsource = "file://gate.mp4"\n', site=INCLUDE + CAMERA)
    (tmp_path / "etc/conf.d/gate.mp4").symlink_to(demo_clip())
    monkeypatch.chdir(tmp_path)
    camera = load(Path("etc/site.toml")).camera[0]
    assert locate(camera.source, Path("etc")) == f"{tmp_path}/etc/conf.d/gate.mp4"


def test_the_name_of_a_shipped_model_is_not_a_path_unless_there_is_such_a_folder(tmp_path: Path) -> None:
    path = write(tmp_path, a='[runtime]\nmodel = "motion"\n', site=INCLUDE + CAMERA)
    assert load(path).runtime.model == "motion"
    (tmp_path / "conf.d/motion").mkdir()
    assert load(path).runtime.model == f"{tmp_path}/conf.d/motion"


def test_a_pattern_may_match_nothing_but_a_named_file_must_exist(tmp_path: Path) -> None:
    assert load(write(tmp_path, site=INCLUDE + CAMERA)).file.read == (str(tmp_path / "site.toml"),)
    path = write(tmp_path, site='\ninclude = ["conf.d/*.toml", "shared.toml"]\n' + CAMERA)
    assert error_of(path) == (
        f"{tmp_path}/shared.toml: No such file or directory; "
        f"{tmp_path}/site.toml:2: include[1] = 'shared.toml': names this file"
    )


@pytest.mark.parametrize("pattern", ["confd/*.toml", "{folder}/confd/*.toml", "confd/*/b*.toml", "site.toml/*.toml"])
def test_a_pattern_whose_folder_does_not_exist_is_refused(pattern: str, tmp_path: Path) -> None:
    """Settings that all hosts share would be missing without a word: the broker would become localhost."""
    pattern = pattern.format(folder=tmp_path)
    message = error_of(write(tmp_path, a="", site=f'\ninclude = ["{pattern}"]\n{CAMERA}'))
    if pattern.startswith("site.toml"):
        assert "site.toml: Not a directory; it must be a folder" in message
    else:
        assert message == (
            f"{tmp_path}/site.toml:2: include[0] = '{pattern}': {tmp_path}/confd: No such file or directory; "
            "correct the path, or create the folder; did you mean 'conf.d'?"
        )


def test_a_pattern_that_matches_no_file_is_a_remark(tmp_path: Path) -> None:
    config = load(write(tmp_path, a="", site=f'include = ["conf.d/*.tml", "conf.d/*.toml"]\n{CAMERA}'))
    assert config.file.unmatched == (
        f"{tmp_path}/site.toml:1: include[0] = 'conf.d/*.tml': matches no file, so that nothing is included",
    )


def test_each_file_is_read_once_in_the_order_of_the_patterns(tmp_path: Path) -> None:
    files = {"a": "", "b": "", "site": f'include = ["conf.d/b.toml", "{tmp_path}/conf.d/*.toml"]\n{CAMERA}'}
    names = [Path(name).stem for name in load(write(tmp_path, **files)).file.read]
    assert names == ["b", "a", "site"]


def test_included_files_cannot_include_others_nor_a_file_itself(tmp_path: Path) -> None:
    message = error_of(write(tmp_path, a='\ninclude = ["b.toml"]\n', site=INCLUDE + CAMERA))
    assert (
        message == f"{tmp_path}/conf.d/a.toml:2: include: only the main file, {tmp_path}/site.toml, may include others"
    )
    message = error_of(write(tmp_path, site='include = ["*.toml"]\n' + CAMERA))
    assert message == (
        f"{tmp_path}/site.toml:1: include[0] = '*.toml': matches this file itself; keep the files to include in a "
        "folder of their own"
    )


@pytest.mark.parametrize("value", ["7", "'conf.d'", "['conf.d', 7]"])
def test_an_include_of_a_wrong_type_is_refused(value: str, tmp_path: Path) -> None:
    assert re.search(
        r"site\.toml:1: include.*: should be a", error_of(write(tmp_path, site=f"include = {value}\n{CAMERA}"))
    )


def test_an_included_file_with_invalid_toml_is_named(tmp_path: Path) -> None:
    assert f"{tmp_path}/conf.d/a.toml: invalid TOML" in error_of(write(tmp_path, a="[decide\n", site=INCLUDE + CAMERA))
