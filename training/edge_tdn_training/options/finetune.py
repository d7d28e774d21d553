"""The options of `edge-tdn-train finetune`."""

from pathlib import Path

from edge_tdn_export.video_options import add_video_options

from edge_tdn.help.command_help import CommandHelp, Example
from edge_tdn.help.parser import Commands, Run, add_command
from edge_tdn_training.machine import DEFAULT_MICRO_BATCH
from edge_tdn_training.options.machine_options import add_cache_option, add_machine_options
from edge_tdn_training.options.network_options import add_network_options

MAX_CLIP_S = 1.5  # seconds that a clip spans without --segment-stride: an action is recognised when it fills most of it
TOTAL_CLIPS = 8000  # that are trained on without --epochs

HELP = CommandHelp(
    description="""\
Fine-tune a model on your own clips, and make a model folder of it that `edge-tdn run` can serve. Use it to teach your
own actions: a folder of clips for each action, at least ten clips in each; the folder's name is the label.

Stopped, killed, or out of power? Run the same command again to resume. Then look at confusion.png in the new folder
(FP32, a host's default). The last lines that it prints put the model into service.
""",
    examples=(
        Example("from clips that `edge-tdn record` has made", "edge-tdn-train finetune --data clips --out models/door"),
        Example(
            "with videos in which no action happens as background",
            "edge-tdn-train finetune --data clips --negatives usual-days --out models/door",
        ),
        Example(
            "from a published checkpoint, which does not describe its network",
            "edge-tdn-train finetune --data clips --from best.pth.tar --arch resnet101 --segments 8 --out models/door",
        ),
        Example(
            "afterwards: validate the configuration that names the folder, and try it",
            "edge-tdn check --config site.toml && edge-tdn replay new.mp4 --config site.toml",
        ),
    ),
    exit_status={0: "", 66: "", 71: "", 78: "data, model or options are wrong; --out is not created"},
    notes="""\
Starting points (--from):
  appearance  a ResNet-50 with ImageNet weights, which knows what things are,
              and `motion`, which knows how they move. Both stay as they are; a
              last layer is learned from what they see in the clips, for both,
              or for the one that is better alone
  motion      the shipped model, of which all layers are trained
  FILE, DIR   other weights, of which all layers are trained: model folder or
              shipped model, run, TDN checkpoint, ImageNet weights

Without --from it is `appearance`, if its weights are at hand. If they are not, `motion` is trained, and a note says how
to fetch them.

The class `background` is everything that must not be published as an action; a class of any other name is an action,
whatever it is in the initial weights. It is made of the clips in the folder `background`; of --negatives, videos in
which no action happens, preferably of the same cameras on a usual day; and, if there is no class of this name yet, of a
list file's videos outside of their labelled intervals (without half a second beside these). Clips in the folder of
another class are assumed to show it from beginning to end. A model without background reports one of its actions for
everything it sees: see --without-background.

A share of every class is held out for the evaluation, by recording: each file is one, unless dataset.toml describes
which belong together (record writes it). A class of one recording is split in time, with a video or five frames left
out between; a note reports that.

An epoch has the same number of clips of every action, and every video of background. Half of the clips begin with a
part of another one, as on a camera where one action follows another. If the classes of --from differ from those of
--data, the last layer is new. INT8 is calibrated on whole files, including held-out parts.
""",
)


def add_parser(commands: Commands, run: Run, summary: str) -> None:
    """Add the subcommand `finetune`."""
    parser = add_command(
        commands,
        "finetune",
        run,
        summary,
        HELP,
        stopped="stopped; --out is not created; run the same command again to resume",
    )
    parser.add_argument("--data", type=Path, required=True, help="folder of class folders, or list file: see train")
    parser.add_argument("--negatives", type=Path, metavar="DIR", help="videos of the class background; see below")
    parser.add_argument(
        "--without-background",
        action="store_true",
        help="accept data without the class background, as of a published benchmark",
    )
    parser.add_argument(
        "--from",
        dest="start",
        metavar="START",
        help="starting point: `appearance`, `motion` or other weights, see below (default: appearance, or motion if "
        "there are no ImageNet weights)",
    )
    parser.add_argument(
        "--imagenet",
        type=Path,
        metavar="FILE",
        help="ImageNet weights of a ResNet-50 for `appearance` (default: a file in ~/.cache/edge-tdn/imagenet)",
    )
    parser.add_argument("--out", type=Path, required=True, help="model folder to create; must not exist")
    parser.add_argument("--id", default="", help="the model's name in events (default: the folder's)")
    parser.add_argument(
        "--hold-out",
        type=float,
        default=0.3,
        metavar="SHARE",
        help="share of every class to evaluate on (default: 0.3)",
    )
    parser.add_argument("--evaluate-on", type=Path, metavar="DATA", help="evaluate on other data, of the same classes")
    parser.add_argument(
        "--progress",
        choices=("text", "json"),
        default="text",
        help="`json`: everything on stdout as lines of JSON, for a program that shows it (default: text)",
    )
    add_cache_option(parser, "folder of decoded videos, 7 MB a second for `appearance`, and of their features")
    group = parser.add_argument_group("training of all layers (defaults fit 10 to 1,000 clips)")
    group.add_argument(
        "--epochs",
        type=int,
        metavar="N",
        help=f"maximum number of epochs (default: as many as make {TOTAL_CLIPS} clips)",
    )
    group.add_argument("--batch", type=int, default=16, metavar="N", help="clips per step (default: 16)")
    group.add_argument(
        "--rate",
        type=float,
        default=0.08,
        help="learning rate for 128 clips per step; scaled with --batch (default: 0.08)",
    )
    group.add_argument("--seed", type=int, default=1, help="seed of all random choices (default: 1)")
    group.add_argument(
        "--segment-stride",
        type=int,
        metavar="N",
        help="frames from one segment to the next: with more, a clip spans a longer time, and actions are recognised "
        f"later (default: as in --from, but at most {MAX_CLIP_S:g} s per clip)",
    )
    add_machine_options(group, "it is reduced to fit --batch (default: %(default)s)", DEFAULT_MICRO_BATCH, workers=1)
    add_video_options(parser, labels=True)
    add_network_options(parser)
