"""The options of `edge-tdn-train train`."""

import argparse
from pathlib import Path

from edge_tdn_export.video_options import add_video_options

from edge_tdn.help.command_help import CommandHelp, Example
from edge_tdn.help.parser import Commands, Run, add_command
from edge_tdn_training.options.machine_options import STOPPED, add_cache_option, add_machine_options
from edge_tdn_training.options.network_options import add_network_options
from edge_tdn_training.training_config import PUBLISHED

HELP = CommandHelp(
    description="""\
Train a network as published, on videos of several classes, on one machine or several. Use it for large data sets; for
some hundred clips of your own, `finetune` is faster and better.

Stopped, killed, or out of power? Run the same command again to resume; at most one epoch is lost.
""",
    examples=(
        Example(
            "your own clips, from ImageNet weights, with a fifth of the recordings held out",
            "edge-tdn-train train --data clips --hold-out 0.2 --from resnet50.pth --out runs/mine --batch 16",
        ),
        Example(
            "Something-Something as published, on all GPUs of a machine",
            "torchrun --nproc-per-node gpu -m edge_tdn_training train --data train.txt --evaluate-on val.txt "
            "--from resnet50.pth --out runs/ssv2",
        ),
        Example(
            "on two machines, the same command on each; --out is one folder that both see, the videos and --cache may "
            "be copies",
            "torchrun --nnodes 2 --nproc-per-node gpu --rdzv-backend c10d --rdzv-endpoint first-machine:29500 "
            "-m edge_tdn_training train --data train.txt --evaluate-on val.txt --from resnet50.pth "
            "--out /shared/runs/ssv2",
        ),
    ),
    exit_status={0: "trained", 66: "", 71: "", 78: "data, weights or options are wrong"},
    notes="""\
The data (--data, --evaluate-on) is a folder with a folder of videos for each class, named as the class; or a list file
as it is published, recognised by its content and reported in one line:

  clips/a.mp4 0                 path and label: mmaction2, PySlowFast, our own;
                                blanks, tabs or commas between them
  img/78687 117 86              path, number of pictures and label: frame
                                folders of TSN, TSM and TDN
  Archery/v_Archery.avi 3       UCF101, with classInd.txt beside it
  brush_hair_test_split1.txt    HMDB51: any file of a split is the whole split
  label,youtube_id,start,...    Kinetics CSV
  100218;Turning something over Something-Something and Jester, and
                                Something-Something's JSON

A video is a file, or a folder of numbered pictures, img_00001.jpg and following. `path#t=2.5,7` is the part from second
2.5 to 7. Numbers in a list refer to a file of labels beside it (--labels-of-list), paths to the list's folder
(--videos-in). Of a list with a part for training and one for tests, --evaluate-on and `evaluate` take the latter.

A file dataset.toml in the same folder describes the classes of mirrored clips, and the recording that a clip was cut
from. In the example front-door-3.mp4 is of the recording front-door (without `source`, each file is a recording);
`first_label` is a list's first number, only for lists that do not show it:

  source = '(.+)-[0-9]+'
  first_label = 0
  [flip]
  "turn left" = "turn right"

In mirrored clips the labels in [flip] are swapped; all other classes keep theirs.
""",
)


def add_parser(commands: Commands, run: Run, summary: str) -> None:
    """Add the subcommand `train`."""
    parser = add_command(
        commands,
        "train",
        run,
        summary,
        HELP,
        stopped=STOPPED,
    )
    parser.add_argument(
        "--data", type=Path, required=True, help="training data: folder of class folders, or list file; see below"
    )
    parser.add_argument(
        "--evaluate-on", type=Path, metavar="DATA", help="other data, of the same classes, to evaluate on"
    )
    parser.add_argument(
        "--hold-out",
        type=float,
        metavar="SHARE",
        help="evaluate on this share of --data instead, split by recording (default: none)",
    )
    parser.add_argument("--out", type=Path, required=True, help="folder of the run; an existing run is resumed")
    parser.add_argument(
        "--from",
        dest="start",
        default="",
        metavar="WEIGHTS",
        help="initial weights: ImageNet weights with torchvision's names (.pth, .safetensors, .npz), a published TDN "
        "or our own, a run, a model folder, a shipped model (default: random weights)",
    )
    add_cache_option(parser, "folder of decoded videos: 4 MB per second at 12 frames of 456x256")
    _add_training_options(parser)
    add_video_options(parser, labels=True)
    add_network_options(parser)
    machine = parser.add_argument_group("the machine")
    add_machine_options(
        machine,
        "a step accumulates as many micro-batches as --batch needs; batch norms that are trained use the statistics of "
        "one micro-batch (default: up to 8)",
    )


def _add_training_options(parser: argparse.ArgumentParser) -> None:
    """Add the options whose names are fields of TrainingConfig; their defaults are those of the schedule."""
    group = parser.add_argument_group("the training (defaults: as published, see --schedule)")
    group.add_argument(
        "--schedule",
        choices=tuple(PUBLISHED),
        default="something",
        help="something (default): 60 epochs, the rate falls after 30, 45, 55, batch 64, weight decay 5e-4; "
        "kinetics: 100 epochs, 50, 75, 90, batch 128, weight decay 1e-4",
    )
    group.add_argument(
        "--epochs", type=int, metavar="N", help="number of epochs; the epochs at which the rate falls scale with it"
    )
    group.add_argument("--batch", type=int, metavar="N", help="clips per step, of all processes together")
    group.add_argument(
        "--rate", type=float, help="learning rate for 128 clips per step; scaled with --batch (default: 0.02)"
    )
    group.add_argument(
        "--warm-up",
        dest="warm_up_epochs",
        type=float,
        metavar="EPOCHS",
        help="epochs in which the rate rises (default: 0)",
    )
    group.add_argument("--weight-decay", type=float, help="weight decay; not applied to biases and batch norms")
    group.add_argument("--dropout", type=float, help="dropout before the linear layer (default: 0.5)")
    group.add_argument(
        "--last-layer",
        type=float,
        metavar="FACTOR",
        help="learning rate of the last layer relative to the others (default: 1; published for fine-tuning on small "
        "data sets: 5)",
    )
    group.add_argument(
        "--all-norms",
        dest="partial_norm",
        action="store_const",
        const=False,
        help="train pretrained batch norms as well, as in the published commands (default: all but the first keep "
        "their statistics, which small batches need)",
    )
    group.add_argument("--no-flip", dest="flip", action="store_const", const=False, help="do not mirror clips")
    group.add_argument(
        "--window",
        dest="window_s",
        type=float,
        metavar="SECONDS",
        help="take clips from random parts of this length of longer videos (default: whole videos)",
    )
    group.add_argument("--precision", choices=("bf16", "fp32"), help="precision of the training (default: bf16, mixed)")
    group.add_argument("--seed", type=int, help="seed of all random choices (default: 1)")
