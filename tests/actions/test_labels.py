"""The actions that are reported for a model's labels, and the errors for names that it does not have."""

from collections.abc import Callable
from pathlib import Path
from subprocess import CompletedProcess

import pytest

from edge_tdn.actions.labels import NamedActions, check_all_names, check_names, for_model, rules
from edge_tdn.config.load import load
from edge_tdn.config.tables import Config
from edge_tdn.errors import ConfigError

LABELS = ("still", "falling", "lying down", "running")
BACKGROUND = ("still",)


def site(tmp_path: Path, text: str) -> Config:
    path = tmp_path / "site.toml"
    path.write_text(f'[[camera]]\nname = "a"\nsource = "a.mp4"\n{text}')
    return load(path)


def test_a_label_is_reported_by_its_own_name_unless_an_action_renames_it(tmp_path: Path) -> None:
    text = '[decide]\nmin_length_s = 1.5\n[[decide.action]]\nname = "fall"\nlabels = ["lying down", "falling"]\n'
    config = site(tmp_path, text + "enter_threshold = 0.9\n")
    check_names(config, LABELS, BACKGROUND)
    found = rules(config.decide, LABELS, BACKGROUND)
    assert {name: rule.members for name, rule in found.items()} == {"fall": (2, 1), "running": (3,)}
    assert [rule.enter_threshold for rule in found.values()] == [0.9, 0.7]
    assert {rule.min_length_ns for rule in found.values()} == {1_500_000_000}


def test_two_labels_may_swap_their_names(tmp_path: Path) -> None:
    swapped = '[[decide.action]]\nname = "running"\nlabels = ["falling"]\n'
    config = site(tmp_path, swapped + '[[decide.action]]\nname = "falling"\nlabels = ["running"]\n')
    check_names(config, LABELS, BACKGROUND)
    assert {name: rule.members for name, rule in rules(config.decide, LABELS).items() if name != "still"} == {
        "running": (1,),
        "lying down": (2,),
        "falling": (3,),
    }


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            '[decide]\nonly = ["runing"]\n',
            "site.toml:5: decide.only = 'runing': the model has no such label; did you mean 'running'? "
            "allowed: falling, lying down, running",
        ),
        (
            '[decide]\nonly = ["falling"]\n[[decide.action]]\nname = "x"\nlabels = ["falling"]\n',
            "5: decide.only = 'falling': is reported as 'x'",
        ),
        ('[decide]\nignore = ["still"]\n', "5: decide.ignore = 'still': a background label of the model"),
        ('[decide]\nonly = ["falling"]\nignore = ["falling"]\n', "6: decide.ignore: nothing is left to report"),
        (
            '[[decide.action]]\nname = "x"\nlabels = ["falling"]\n[[decide.action]]\nlabels = ["fallin"]\nname = "y"\n',
            "site.toml:8: decide.action[1].labels = 'fallin': the model has no such label; did you mean 'falling'?",
        ),
        ('[[decide.action]]\nname = "fall"\n', "5: decide.action[0].name = 'fall': the model has no such label; did"),
        (
            '[[decide.action]]\nname = "running"\nlabels = ["falling"]\n',
            "5: decide.action[0].name = 'running': a label of the model has this name",
        ),
        ('[[decide.action]]\nname = "x"\nlabels = ["still"]\n', "6: decide.action[0].labels = 'still': a background"),
    ],
)
def test_an_unknown_name_is_refused_with_file_and_line(text: str, message: str, tmp_path: Path) -> None:
    config = site(tmp_path, text)
    with pytest.raises(ConfigError) as raised:
        check_names(config, LABELS, BACKGROUND)
    assert message in str(raised.value)


# Several models

DECIDE = ("decide", "only"), ("decide", "ignore")
ZONE = ("camera", 0, "zone", 0, "decide", "only"), ("decide", "ignore")
OTHER = ("idle", "juggling")


def uses(config: Config, *labels: tuple[str, ...]) -> list[NamedActions]:
    return [NamedActions("a zone", config.decide, *DECIDE, one, ("still", "idle")) for one in labels]


def test_a_name_of_decide_may_be_that_of_one_of_several_models(tmp_path: Path) -> None:
    action = '[[decide.action]]\nname = "fall"\nlabels = ["falling"]\n'
    config = site(tmp_path, f'[decide]\nonly = ["fall", "juggling"]\n{action}')
    check_all_names(config, uses(config, LABELS, OTHER))
    with pytest.raises(ConfigError, match=r":5: decide\.only = 'juggling': the model has no such label"):
        check_all_names(config, uses(config, LABELS, LABELS))
    assert list(rules(for_model(config.decide, LABELS, BACKGROUND), LABELS, BACKGROUND)) == ["fall"]
    assert list(rules(for_model(config.decide, OTHER, ("idle",)), OTHER, ("idle",))) == ["juggling"]


def test_a_name_that_no_model_has_is_reported_once(tmp_path: Path) -> None:
    config = site(tmp_path, '[decide]\nonly = ["runing", "running", "juggling"]\n')
    with pytest.raises(ConfigError) as raised:
        check_all_names(config, uses(config, LABELS, OTHER))
    (line,) = str(raised.value).splitlines()
    message = ":5: decide.only = 'runing': the model has no such label; did you mean 'running'? allowed: "
    assert line.endswith(f"{message}falling, lying down, running, juggling")


def test_a_model_of_which_nothing_is_reported_is_refused(tmp_path: Path) -> None:
    config = site(tmp_path, '[decide]\nonly = ["running"]\n')
    with pytest.raises(ConfigError, match=r"nothing is left to report in a zone; give the zone an `only` of its own"):
        check_all_names(config, uses(config, LABELS, OTHER))


def test_the_names_of_a_zone_are_those_of_its_own_model(tmp_path: Path) -> None:
    """Whatever the models of other zones have."""
    config = site(tmp_path, '[[camera.zone]]\nname = "z"\n[camera.zone.decide]\nonly = ["juggling"]\n')
    decide = config.decide.within(config.camera[0].zone[0].decide)
    check_all_names(config, [*uses(config, LABELS), NamedActions("z", decide, *ZONE, OTHER, ("idle",))])
    with pytest.raises(ConfigError, match=r":7: camera\[0\]\.zone\[0\]\.decide\.only = 'juggling': the model has no"):
        check_all_names(config, [*uses(config, OTHER), NamedActions("z", decide, *ZONE, LABELS, BACKGROUND)])


def test_a_group_may_have_labels_of_several_models(tmp_path: Path) -> None:
    """Each model counts the labels that it has, without its background."""
    action = '[[decide.action]]\nname = "trouble"\nlabels = ["falling", "juggling", "still"]\n'
    config = site(tmp_path, action)
    with pytest.raises(ConfigError, match=r"labels = 'still': a background label"):
        check_all_names(config, uses(config, LABELS, OTHER))
    config = site(tmp_path, action.replace(', "still"', ""))
    check_all_names(config, uses(config, LABELS, OTHER))
    for labels, background, member in ((LABELS, BACKGROUND, "falling"), (OTHER, ("idle",), "juggling")):
        rule = rules(for_model(config.decide, labels, background), labels, background)["trouble"]
        assert [labels[index] for index in rule.members] == [member]


def test_a_zone_with_names_of_its_own_excuses_no_wrong_name_of_decide(tmp_path: Path) -> None:
    zone = '[[camera.zone]]\nname = "z"\n[camera.zone.decide]\nonly = ["running"]\n'
    config = site(tmp_path, f'[decide]\nonly = ["falling", "typo"]\n{zone}')
    decide = config.decide.within(config.camera[0].zone[0].decide)
    own = NamedActions("z", decide, *ZONE, LABELS, BACKGROUND)
    with pytest.raises(ConfigError, match=r"decide\.only = 'typo': the model has no such label"):
        check_all_names(config, [*uses(config, LABELS), own])


def test_a_name_that_hides_a_label_of_another_model_is_refused(tmp_path: Path) -> None:
    config = site(tmp_path, '[[decide.action]]\nname = "juggling"\nlabels = ["running"]\n')
    with pytest.raises(ConfigError, match="a label of the model has this name"):
        check_all_names(config, uses(config, LABELS, (*OTHER, "running")))


@pytest.mark.parametrize("command", ["check", "run", "replay"])
def test_an_unknown_name_exits_with_78_before_anything_runs(
    command: str, tmp_path: Path, edge_tdn: Callable[..., CompletedProcess[str]]
) -> None:
    path = tmp_path / "site.toml"
    path.write_text('[[camera]]\nname = "a"\nsource = "demo:"\n[decide]\nonly = ["waves"]\n')
    arguments = ["demo:"] if command == "replay" else []
    done = edge_tdn(command, *arguments, "--config", path)
    assert done.returncode == 78
    (line,) = done.stderr.splitlines()
    assert line.startswith(
        f"edge-tdn: {path}:5: decide.only = 'waves': the model has no such label; did you mean 'wave'?"
    )
