"""What a run writes down about itself: its inputs, its log, the samples, the plot.  (saver.py writes the model.)"""

from pathlib import Path
from typing import Any

from tinygrad_gpt.cli.config_file import to_toml
from tinygrad_gpt.cli.train.console import Console
from tinygrad_gpt.cli.train.options import PROG, Train
from tinygrad_gpt.files import atomic_write
from tinygrad_gpt.runs.folder import RunFolder
from tinygrad_gpt.runs.log import Record, RunLog
from tinygrad_gpt.runs.names import CONFIG, LOG, PLOT, SAMPLE, TOKENIZER
from tinygrad_gpt.runs.plot import plot_losses
from tinygrad_gpt.text import STDIN, Tokenizer, save_tokenizer


def write_inputs(options: Train, tokenizer: Tokenizer, folder: RunFolder) -> None:
    """Write what is known before the first step: config.toml and tokenizer.json."""
    texts = tuple(path if path == STDIN else str(Path(path).absolute()) for path in options.texts)
    toml = to_toml(options, leave_out=("out", "overwrite", "config", "resume"), texts=texts)
    with atomic_write(folder.file(CONFIG)) as file:
        file.write(f"# {PROG} --config THIS_FILE runs it again\n\n{toml}".encode())
    save_tokenizer(tokenizer, folder.file(TOKENIZER))


class Recorder:
    """Writes log.jsonl, sample.txt and loss.png.  None of them stops the training if it cannot be written."""

    def __init__(self, folder: RunFolder, log: RunLog, console: Console) -> None:
        self.folder, self.log, self.console = folder, log, console

    def write(self, **record: Any) -> None:
        """Add a line to the log."""
        with self.console.tolerate(LOG):
            self.log.write(**record)

    def sync(self) -> None:
        """Wait until the whole log is on the disk."""
        with self.console.tolerate(LOG):
            self.log.sync()

    def write_samples(self) -> None:
        """Write all samples in the log to sample.txt, for people to read."""
        path = self.folder.file(SAMPLE)
        text = _samples_text(self.log.of("sample"))
        with self.console.tolerate(SAMPLE):
            if text:
                with atomic_write(path) as file:
                    file.write(text.encode("utf-8", "backslashreplace"))
            else:
                path.unlink(missing_ok=True)

    def plot(self, title: str) -> None:
        """Draw the losses over the epochs."""
        with self.console.tolerate(PLOT):
            plot_losses(self.log.of("evaluation"), self.folder.file(PLOT), title=title)


def _samples_text(samples: list[Record]) -> str:
    return "".join(f"--- epoch {s['epoch']:.2f}, step {s['step']} ---\n{s['text']}\n\n" for s in samples)
