"""Files of a configuration that the service's user may not read: an error with file, line, key and remedy."""

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from edge_tdn import permission
from edge_tdn.__main__ import main
from edge_tdn.config.load import load
from edge_tdn.errors import ConfigError
from edge_tdn.manifest import Model
from edge_tdn.permission import SERVICES, copy_commands, is_unreadable
from edge_tdn.recording.verify import verify as verify_record
from edge_tdn.service.verify import verify
from tests.support.command_line import camera_site
from tests.support.permissions import ordinary_user
from tests.support.site import write_camera


@pytest.fixture
def home(monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder in place of /root, hidden from services, in one that is open to all, as that of a test is not."""
    with TemporaryDirectory() as folder:
        Path(folder).chmod(0o755)
        (Path(folder) / "root").mkdir()
        monkeypatch.setattr(permission, "HIDDEN", (Path(folder) / "root",))
        yield Path(folder) / "root"


def refused(check: Callable[[], object]) -> str:
    with ordinary_user(), pytest.raises(ConfigError) as raised:
        check()
    return str(raised.value)


def test_a_model_below_a_home_is_an_error_that_names_the_key_and_a_copy(
    home: Path, motion: Model, capsys: pytest.CaptureFixture[str]
) -> None:
    """The same where only a file of the folder is closed; there the remedy is its mode."""
    model = shutil.copytree(motion.folder, home / "juggling")
    site = camera_site(home.parent, f'[runtime]\nmodel = "{model}"')
    home.chmod(0)
    with ordinary_user():
        assert main(["check", "--config", str(site)]) == 78
    error = capsys.readouterr().err
    assert (
        f"site.toml:2: runtime.model = '{model}': {model}: Permission denied; a service cannot read below /h" in error
    )
    assert f"`{copy_commands(model, Path('/etc/edge-tdn/models'))}`, and name /etc/edge-tdn/models/juggling" in error
    home.chmod(0o700)
    model = model.rename(home.parent / "open")
    (model / "fp32/head.xml").chmod(0)
    site = camera_site(home.parent, f'[runtime]\nmodel = "{model}"')
    with ordinary_user():
        assert main(["check", "--config", str(site)]) == 78
    error = capsys.readouterr().err
    assert f"runtime.model = '{model}': {model}/fp32/head.xml: Permission denied; {SERVICES}" in error
    assert f"{SERVICES}: `sudo chmod -R a+rX {model}`" in error


@pytest.mark.parametrize(
    ("keys", "name"),
    [
        ('[broker]\nusername = "u"\npassword_file = "root/secret"', "broker.password_file"),
        ('[broker]\nurl = "mqtts://b"\nca_file = "root/secret"', "broker.ca_file"),
        ('[broker]\nurl = "mqtts://b"\ncert_file = "clip"\nkey_file = "root/secret"', "broker.key_file"),
    ],
)
@pytest.mark.parametrize("closed", ["folder", "file"])
def test_a_file_of_the_broker_that_is_closed_names_its_key(keys: str, name: str, closed: str, home: Path) -> None:
    """A password is not to be opened for everyone: it is given to the service as a credential."""
    (home / "secret").write_text("opensesame")
    (home.parent / "clip").touch()
    (home if closed == "folder" else home / "secret").chmod(0)
    path = camera_site(home.parent, keys)
    message = refused(lambda: verify(load(path), path))
    assert f": {name} = 'root/secret': {home}/secret cannot be read: Permission denied; {SERVICES}" in message
    assert ("credential:NAME" in message) == (name != "broker.ca_file")
    assert ("chmod -R a+rX" in message) == (name == "broker.ca_file")


@pytest.mark.parametrize(
    "keys",
    [
        'source = "rtsps://h/x"\nca_file = "root/file"',
        'source = "rtsp://h/x"\nusername = "u"\npassword_file = "root/file"',
        'source = "root/file"',
        'source = "demo:"\nrecord_source = "root/file"',
    ],
)
def test_a_file_of_a_camera_that_is_closed_names_its_key(keys: str, home: Path) -> None:
    (home / "file").write_text("content")
    home.chmod(0)
    path = write_camera(home.parent, keys)
    message = refused(lambda: verify(load(path), path))
    key = keys.splitlines()[-1].partition(" ")[0]
    assert f"camera[0].{key}" in message
    assert f"Permission denied; {SERVICES}" in message


@pytest.mark.parametrize("pattern", ["root/more.toml", "root/*.toml", "root/conf.d/*.toml"])
def test_an_included_file_that_is_closed_is_an_error_also_where_a_pattern_names_it(pattern: str, home: Path) -> None:
    (home / "more.toml").write_text('host = "barn"')
    home.chmod(0)
    message = refused(lambda: load(camera_site(home.parent, f'include = ["{pattern}"]')))
    assert "Permission denied" in message
    assert f"site.toml:1: include[0] = '{pattern}': " in message
    assert SERVICES in message


def test_a_configuration_that_is_closed_is_an_error_with_its_remedy(home: Path) -> None:
    path = camera_site(home.parent)
    path.chmod(0)
    assert f"{path}: Permission denied; {SERVICES}: `sudo " in refused(lambda: load(path))


def test_a_folder_for_recordings_below_a_home_names_its_key(home: Path) -> None:
    path = camera_site(home.parent, '[record]\nfolder = "root/clips"')
    home.chmod(0)
    message = refused(lambda: verify_record(load(path).record, path.parent))
    assert f"site.toml:2: record.folder = 'root/clips': {home}/clips: Permission denied; a service cannot" in message
    assert "ReadWritePaths=" in message


def test_what_a_service_can_read_is_open_to_all_and_not_below_a_home(home: Path) -> None:
    """A link into a home is as hidden as what it leads to; a file of a further user may be the service's."""
    model = home.parent / "model"
    (model / "fp32").mkdir(parents=True)
    (model / "fp32/head.xml").touch(0o644)
    assert not is_unreadable(model)
    (model / "fp32/head.xml").chmod(0o600)
    assert is_unreadable(model)
    (home / "model").mkdir()
    (home.parent / "link").symlink_to(home / "model")
    assert is_unreadable(home.parent / "link")
    assert not is_unreadable(home.parent / "absent")
