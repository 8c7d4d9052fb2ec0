"""Bad input: exit code 2, one line on stderr that says what is allowed, no traceback, nothing written.

A table of mistakes, each through every command where it can be made.  What is no mistake, or shows only on the way, is
tested beside what it belongs to: signals and closed pipes, full disks, two runs in one folder.
"""

import contextlib
import json
import os
import shlex
import shutil
import sys
import tempfile
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load, save

from tests.cli.conftest import TINY_FLAGS, call, listing
from tinygrad_gpt import backend
from tinygrad_gpt.cli import COMMANDS, command_module
from tinygrad_gpt.cli.train import steps
from tinygrad_gpt.text import Characters, build_tokenizer, save_tokenizer

pytestmark = pytest.mark.usefixtures("plain_plots")

# The mistake; a command line, and what its answer must hold.  {text}, {run} and files of `prepared` can be named.
ROWS = {
    "a file that cannot be read": [
        ("train missing.txt", "cannot read 'missing.txt': No such file"),
        ("train folder", "cannot read 'folder': Is a directory"),
        ("train --config missing.toml", "cannot read --config 'missing.toml': No such file"),
        ("evaluate {run} missing.txt", "cannot read 'missing.txt'"),
        ("evaluate {run} folder", "cannot read 'folder': Is a directory"),
        ("train {text} missing.txt", "cannot read 'missing.txt': No such file"),
        ("train loop", "cannot read 'loop': Too many levels of symbolic links"),
        ("train short.txt/x", "cannot read 'short.txt/x': Not a directory"),
        ("train --config folder", "cannot read --config 'folder': Is a directory"),
        ("trace missing.py", "SCRIPT 'missing.py' is not a file"),
        ("pitfalls exercise gelu --file folder", "cannot use 'folder': Is a directory"),
        ("pitfalls exercise gelu --file " + "x" * 300, "File name too long"),
    ],
    "a text that is empty, or only space": [
        ("train empty.txt", "no text in 'empty.txt': empty, or only space"),
        ("train blank.txt", "no text in 'blank.txt': empty, or only space"),
        ("train short.txt empty.txt --tokenizer bytes --context-length 64", "text has 37 tokens"),
        ("evaluate {run} empty.txt", "no text in 'empty.txt': empty, or only space"),
        ("evaluate {run} blank.txt", "no text in 'blank.txt': empty, or only space"),
    ],
    "a text that is too short": [
        (
            "train short.txt --tokenizer bytes --context-length 64",
            "text has 37 tokens; context_length 64 needs at least 65: use a context_length of 3 or less, or more text",
        ),
        (
            "train {text} --tokenizer bytes --context-length 900 --val-fraction 0.2",
            "validation split (--val-fraction 0.2)",
        ),
        ("train {text} --drop-last --batch-size 5000", "batch_size 5000 needs at least 5000"),
        ("evaluate {run} one.txt", "at least 2 tokens"),
        ("trace --text short", "--text has 5 tokens; 2 rows of 16 and the token after need 33"),
    ],
    "bytes that are not of the encoding": [
        ("train latin1.txt", "byte 3 is 0xe9"),
        ("train latin1.txt", "errors 'replace'"),
        ("train {text} --encoding klingon", "'klingon'"),
        ("evaluate {run} latin1.txt", "'latin1.txt' is not UTF-8: byte 3 is 0xe9"),
        (
            "evaluate {run} {text} --encoding klingon",
            "encoding must be one that Python knows, such as utf-8; got 'klingon'",
        ),
        (
            "train {text} --errors guess",
            "--errors must be one of strict, replace, ignore, backslashreplace; got 'guess'",
        ),
    ],
    "a start text that cannot be": [
        ("train {text} --sample-prompt=", "--sample-prompt must not be empty"),
        ("train {text} --tokenizer chars --sample-prompt Ü", "character 'Ü' (U+00DC) at position 0"),
        ("generate {run} ''", "TEXT must not be empty"),
        ("generate {run} a --stop=", "--stop must not be empty"),
        ("generate letters aü", "character 'ü' (U+00FC) at position 1"),
        ("sampling letters aü", "character 'ü' (U+00FC) at position 1"),
        ("evaluate letters folder/thesis.doc", "character 'y' (U+0079) at position 0"),
        ("sampling {run} ''", "TEXT must not be empty"),
        ("generate {run} \udcff", "lone surrogate U+DCFF at character 0"),
    ],
    "ids in a file of tokens that are none": [
        (
            "train --resume {tokens} --steps 5",
            "tokens.bin': id 65535 at position 10 is outside the vocabulary of 256 tokens",
        ),
    ],
    "sampling settings out of range": [
        ("generate {run} a --top-k 0", "--top-k must be at least 1; got 0"),
        ("generate {run} a --top-k -1", "--top-k must be at least 1; got -1"),
        ("generate {run} a --top-k 2.5", "--top-k must be a whole number, at least 1; got '2.5'"),
        ("generate {run} a --top-k nan", "--top-k must be a whole number, at least 1; got 'nan'"),
        ("generate {run} a --temperature -1", "--temperature must be at least 0; got -1.0"),
        ("generate {run} a --temperature nan", "--temperature must be a finite number, at least 0; got nan"),
        ("generate {run} a --temperature inf", "--temperature must be a finite number, at least 0; got inf"),
        ("generate {run} a --top-p 0", "--top-p must be above 0 and at most 1; got 0.0"),
        ("generate {run} a --min-p 1.5", "--min-p must be at least 0 and at most 1; got 1.5"),
        ("generate {run} a --max-new-tokens -1", "--max-new-tokens must be at least 0; got -1"),
        ("generate {run} a --show-probabilities 0", "--show-probabilities must be at least 1; got 0"),
        ("sampling {run} a --top-k 0", "--top-k must be at least 1; got 0"),
        ("sampling {run} a --top-p nan", "--top-p must be a finite number, above 0 and at most 1; got nan"),
        ("sampling {run} a --temperatures 1 -1", "--temperatures must be at least 0; got -1.0"),
        ("sampling {run} a --temperatures", "--temperatures needs"),
        ("generate {run} a --top-k " + "9" * 400, "--top-k must be below 2**64, at least 1; got 999"),
        ("train {text} --sample-temperature -1", "--sample-temperature must be at least 0; got -1.0"),
    ],
    "numbers out of range, and words that are none of the choices": [
        ("train {text} --val-fraction 1", "--val-fraction must be at least 0 and below 1; got 1.0"),
        ("train {text} --val-fraction nan", "--val-fraction must be a finite number, at least 0 and below 1; got nan"),
        ("train {text} --tokenizer words", "--tokenizer must be one of compact, gpt2, bytes, chars; got 'words'"),
        ("train {text} --preset huge", "--preset must be one of tiny, small, medium, gpt2-124M"),
        ("train {text} --emb-dim 10 --n-heads 4", "n_heads must divide emb_dim 10; got 4"),
        ("train {text} --n-layers 0", "--n-layers must be at least 1"),
        ("train {text} --context-length -3", "--context-length must be at least 1"),
        ("train {text} --context-length 1.5", "--context-length must be a whole number, at least 1"),
        ("train {text} --drop-rate 1", "--drop-rate must be at least 0 and below 1; got 1.0"),
        ("train {text} --drop-rate -0.1", "--drop-rate must be at least 0 and below 1; got -0.1"),
        ("train {text} --lr nan", "--lr must be a finite number, at least 0; got nan"),
        ("train {text} --lr inf", "--lr must be a finite number, at least 0; got inf"),
        ("train {text} --lr -1", "--lr must be at least 0; got -1.0"),
        ("train {text} --min-lr 1", "--min-lr must be at most --lr"),
        ("train {text} --beta1 1", "--beta1 must be at least 0 and below 1; got 1.0"),
        ("train {text} --beta2 -1", "--beta2 must be at least 0 and below 1; got -1.0"),
        ("train {text} --clip-norm 0", "--clip-norm must be above 0, or none; got 0.0"),
        ("train {text} --batch-size 0", "--batch-size must be at least 1"),
        ("train {text} --epochs 0", "--epochs must be at least 1"),
        ("train {text} --steps 0", "--steps must be at least 1"),
        ("train {text} --steps 3 --warmup-steps 3", "--warmup-steps must be below the number of steps, 3; got 3"),
        ("train {text} --stride 0", "--stride must be at least 1"),
        (
            "train {text} --max-text-mb 0 --tokenizer chars",
            "--tokenizer chars takes its vocabulary from the whole text",
        ),
        ("train {text} --keep 1", "--keep must be at least 2"),
        ("train {text} --checkpoint-every 0", "--checkpoint-every must be at least 1; got 0"),
        ("train {text} --steps 3 --decay-steps 4", "--decay-steps must be at most the number of steps, 3; got 4"),
        ("train {text} --on-nonfinite ignore", "--on-nonfinite must be one of stop, skip; got 'ignore'"),
        ("train {text} --device tpu", "--device must be one of cpu, cuda, auto; got 'tpu'"),
        ("evaluate {run} {text} --stride 9", "--stride must be at most the model's context length 8; got 9"),
        ("train {text} --steps " + "9" * 400, "--steps must be below 2**64, at least 1; got 999"),
        ("train {text} --eps 0", "--eps must be above 0; got 0.0"),
        ("train {text} --weight-decay -1", "--weight-decay must be at least 0; got -1.0"),
        ("train {text} --accumulation 0", "--accumulation must be at least 1"),
        ("train {text} --threads 0", "--threads must be at least 1 and at most 1024; got 0"),
        ("evaluate {run} {text} --batch-size 0", "--batch-size must be at least 1"),
        ("evaluate {run} {text} --stride 0", "--stride must be at least 1; got 0"),
        ("sampling {run} a --tokens 61", "--tokens must be at least 1 and at most 60; got 61"),
        ("trace --drop-rate 1", "--drop-rate must be at least 0 and below 1; got 1.0"),
        ("trace --checks -1", "--checks must be at least 0 and at most 100; got -1"),
    ],
    "seeds": [
        ("train {text} --seed -1", "--seed must be at least 0 and below 2**64; got -1"),
        ("train {text} --seed 18446744073709551616", "--seed must be at least 0 and below 2**64"),
        ("generate {run} a --seed -1", "--seed must be at least 0"),
        ("explain gelu --seed 1.5", "--seed must be a whole number, at least 0 and below 2**64; got '1.5'"),
        ("trace --seed -1", "--seed must be at least 0 and below 2**64; got -1"),
    ],
    "--resume as another run": [
        (
            "train --resume {run} --emb-dim 16 --lr 1",
            "the checkpoint is of another run: emb_dim is 8 there, 16 here; lr is 0.002 there, 1.0 here",
        ),
        ("train --resume {run} --out other", "--out cannot be combined with --resume"),
    ],
    "a run whose parts do not fit": [
        ("generate mixed hello", "its model knows 256 tokens, its tokenizer 3"),
    ],
    "a folder that is no run": [
        ("train --resume missing", "--resume 'missing' is not a folder: give the one that train has made"),
        ("train --resume=", "--resume must name a folder; got ''"),
        ("train --resume folder", "--resume 'folder' is not a run folder: it has no config.toml"),
        ("train --resume short.txt", "'short.txt' is a file, not a folder"),
        ("generate missing-run hello", "RUN 'missing-run' is not a folder"),
        ("generate folder hello", "RUN 'folder' is not a run folder: it has no model.safetensors"),
        ("evaluate missing-run {text}", "RUN 'missing-run' is not a folder"),
        ("sampling folder a", "RUN 'folder' is not a run folder: it has no model.safetensors"),
        ("trace folder", "RUN 'folder' is not a run folder: it has no model.safetensors"),
        ("generate short.txt a", "RUN 'short.txt' is not a folder"),
        ("evaluate " + "x" * 300 + " {text}", "File name too long"),
    ],
    "an output folder that cannot be": [
        ("train {text} --out=", "--out must name a folder"),
        ("train {text} --overwrite", "--overwrite needs --out: without it a run gets a new folder"),
        ("train {text} --out short.txt", "'short.txt' is a file, not a folder"),
        ("train {text} --out short.txt/run", "short.txt' is a file, not a folder"),
        ("train {text} --out folder", "--out 'folder' is not empty: choose another folder, or --overwrite"),
        ("train {text} --out folder --overwrite", "holds 'thesis.doc', which no run wrote"),
        ("train {text} --out locked --overwrite", "is in use by the run of process"),
        ("train {text} --out locked", "is in use by the run of process"),
        ("train {text} --out " + "x" * 300, "File name too long"),
    ],
    "an output file that cannot be": [
        ("sampling {run} a --png no/such.png", "--png must name a file in a folder that exists; got 'no/such.png'"),
        ("sampling {run} a --html folder", "--html must name a file in a folder that exists; got 'folder'"),
        ("sampling {run} a --html /dev/null", "--html must name a file in a folder that exists; got '/dev/null'"),
        (
            "trace --html page.html --json no/such.json",
            "--json must name a file in a folder that exists; got 'no/such.json'",
        ),
        ("trace --json=", "--json must name a file in a folder that exists; got ''"),
        ("trace --json loop", "--json must name a file in a folder that exists; got 'loop'"),
        ("pitfalls exercise gelu --file no/such.py", "cannot use 'no/such.py': No such file or directory"),
    ],
    "an unknown flag, command or name": [
        ("train {text} --contxt-length 3", "unknown option --contxt-length; did you mean --context-length?"),
        ("train {text} --zzz", "unknown option --zzz"),
        ("train {text} --learning-rate 1", "unknown option --learning-rate; did you mean --lr?"),
        ("train {text} --dropout=0.1", "unknown option --dropout; did you mean --drop-rate?"),
        ("train {text} --gpu", "unknown option --gpu; did you mean --device?"),
        ("generate {run} a --temp 1", "unknown option --temp; did you mean --temperature?"),
        ("generate --prompt hi", "unknown option --prompt"),
        ("generate {run} --prompt -- hi", "unknown option --prompt"),
        ("doctor --temp 1", "unknown option --temp\n"),
        ("generate {run} a b", "unexpected argument 'b'; put quotes around a text with spaces"),
        ("generate {run} a --temprature 1", "unknown option --temprature; did you mean --temperature?"),
        ("doctor now", "unexpected argument 'now'\n"),
        ("laws", "needs NAME"),
        ("laws nonsense", "pkg.module:name"),
        ("laws empty_list:suts", "empty_list:suts must be an object under test, or a list of them; got an empty one"),
        ("laws a:b --only ,", "only must hold ids of laws, with commas between them; got ','"),
        ("laws a:b --only=", "only must hold ids of laws, with commas between them; got ''"),
        ("train {text} --progress false", "--progress takes no value: write --progress, or --no-progress; got 'false'"),
        ("train {text} --no-progress=1", "--no-progress takes no value: write --progress, or --no-progress; got '1'"),
        ("trace --step=yes", "--step takes no value: write --step, or --no-step; got 'yes'"),
        ("generate {run} --text a", "unknown option --text; TEXT is given without a flag"),
        ("sampling --run {run} a", "unknown option --run; RUN is given without a flag"),
        ("generate {run} a --max-length 5", "unknown option --max-length; did you mean --max-new-tokens?"),
        ("train {text} --xavier x", "unknown option --xavier\n"),
        ("trace --text=", "--text must not be empty"),
        ("train {text} --val-fraction 0.9999", "training split (--val-fraction 0.9999) has 0 tokens"),
        ("laws own.py:x", "a module as import names it; got 'own.py:x'"),
        ("laws ../own:x", "name must look like pkg.module:name, a module as import names it; got '../own:x'"),
        ("laws a:b --format yaml", "--format must be one of text, markdown, json; got 'yaml'"),
        ("trian", "unknown command 'trian'; did you mean train?"),
        ("--hlep", "unknown command '--hlep'"),
        ("explain layer_nrm", "unknown op 'layer_nrm'; did you mean layer_norm?"),
        ("pitfalls repeated_ids", "no pitfall 'repeated_ids'; did you mean repeated-ids?"),
        (
            "pitfalls " + "9" * 5000,
            "no pitfall '999",
        ),
        ("pitfalls exercise layer_nrm", "no exercise 'layer_nrm'; did you mean layer_norm?"),
        ("laws broken:x", "module 'broken' cannot be imported: ZeroDivisionError: division by zero"),
        ("evaluate {run} {text} --strid 3", "unknown option --strid; did you mean --stride?"),
        ("sampling {run} a --tok 3", "unknown option --tok; did you mean"),
        ("trace --checkz 3", "unknown option --checkz; did you mean --check"),
    ],
    "what is missing": [
        ("train {text} --lr", "--lr needs a value: a number"),
        ("train --resume", "--resume needs a value\n"),
        ("train {text} --precision tf32", "--precision tf32 needs a GPU (--device cuda); a CPU computes in float32"),
        ("generate {run}", "needs TEXT"),
        ("generate", "needs RUN and TEXT"),
        ("evaluate", "needs RUN"),
        ("evaluate {tokens}", "id 65535 at position 10 is outside the vocabulary of 256 tokens"),
        ("evaluate {run} {text} --max-tokens 0", "--max-tokens must be at least 1; got 0"),
        (
            "train {text} --tokenizer chars --end-of-text",
            "--end-of-text needs --tokenizer compact or gpt2; chars has no",
        ),
    ],
    "a script that is no Python": [
        ("trace syntax.py", "SCRIPT syntax.py, line 1: invalid syntax"),
        ("trace short.txt/x.py", "SCRIPT 'short.txt/x.py' is not a file"),
        ("trace empty.py", "SCRIPT 'empty.py' ran no op"),
    ],
    "a configuration file that cannot be": [
        ("train --config resume.toml", "resume is only a flag"),
        ("train --config latin1.txt", "--config 'latin1.txt' is not TOML"),
        ("train --config key.toml", "unknown key 'context_lenght'; did you mean context_length?"),
        ("train --config type.toml", "epochs must be a whole number, at least 1; got '3'"),
        ("train --config float.toml", "epochs must be a whole number, at least 1; got 3.0"),
        ("train --config bool.toml", "lr must be a number, at least 0; got True"),
        ("train --config range.toml", "--config 'range.toml': drop-rate must be at least 0 and below 1; got 2"),
        ("train --config huge.toml", "--config 'huge.toml': lr must be below 2**64, at least 0; got 999"),
        ("train --config list.toml", "texts must be a list of texts; got ['a.txt', 3]"),
    ],
}


def prepared(folder, run):
    """Files and folders that go wrong, each in its way."""
    (folder / "folder").mkdir()
    (folder / "folder" / "thesis.doc").write_text("years of work")
    (folder / "empty.txt").write_bytes(b"")
    (folder / "blank.txt").write_bytes(b" \n\t\n")
    (folder / "latin1.txt").write_bytes("café, crème".encode("latin-1"))
    (folder / "short.txt").write_text("x" * 37)
    (folder / "one.txt").write_text("x")
    (folder / "loop").symlink_to("loop")
    (folder / "key.toml").write_text("context_lenght = 3\n")
    (folder / "type.toml").write_text('epochs = "3"\n')
    (folder / "float.toml").write_text("epochs = 3.0\n")
    (folder / "bool.toml").write_text("lr = true\n")
    (folder / "range.toml").write_text("drop-rate = 2\n")
    (folder / "huge.toml").write_text(f"lr = {'9' * 400}\n")
    (folder / "resume.toml").write_text('resume = "run"\n')
    (folder / "list.toml").write_text('texts = ["a.txt", 3]\n')
    (folder / "broken.py").write_text("1 / 0\n")
    (folder / "syntax.py").write_text("def (\n")
    (folder / "empty.py").touch()
    (folder / "empty_list.py").write_text("suts = []\n")
    (folder / "locked").mkdir()
    (folder / "locked" / "run.lock").write_text(json.dumps({"pid": os.getpid(), "host": "elsewhere"}))
    save_tokenizer(Characters("abc"), folder / "three.json")
    for name in ("letters", "mixed"):
        shutil.copytree(run, folder / name)
    (folder / "mixed" / "tokenizer.json").write_bytes((folder / "three.json").read_bytes())
    save_tokenizer(Characters("a" + "".join(map(chr, range(256, 511)))), folder / "letters" / "tokenizer.json")


@pytest.fixture(scope="module")
def run_on_tokens(tmp_path_factory, text_file, plain_plots):
    """A run whose text was too large for memory, and whose file of tokens has an id too high at position 10."""
    folder = tmp_path_factory.mktemp("tokens") / "run"
    assert call("train", text_file, *TINY_FLAGS.split(), "--max-text-mb", "0", "--out", folder).code == 0
    tokens = np.fromfile(folder / "tokens.bin", np.uint16)
    tokens[10] = 65535
    tokens.tofile(folder / "tokens.bin")
    return folder


@pytest.fixture
def check(tg, empty_folder, run, run_on_tokens, text_file, monkeypatch):
    prepared(empty_folder, run)
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    monkeypatch.setattr(sys, "path", [*sys.path, str(empty_folder)])  # laws looks for modules here

    def check(line, expected):
        before = listing(empty_folder)
        names = {"text": text_file, "run": run, "tokens": run_on_tokens}
        result = tg(*(part.format(**names) for part in shlex.split(line)))
        assert result.code == 2
        assert expected.format(**names) in result.err
        assert result.err.count("\n") == 1
        assert result.err.endswith("\n")
        assert "Traceback" not in result.err
        assert result.out == ""
        assert listing(empty_folder) == before

    return check


CASES = [
    pytest.param(line, expected, id=f"{row}: {line[:60]}") for row, cases in ROWS.items() for line, expected in cases
]


@pytest.mark.parametrize(("line", "expected"), CASES)
def test_bad_input_is_one_line_and_leaves_no_trace(check, line, expected):
    check(line, expected)


# ---- a model that cannot be read


def of_a_newer_version(content):
    return save(load(content), {"format": "tinygrad_gpt 3"})


DAMAGES = {
    "it is cut short": lambda content: content[:500],
    "its tensors are": lambda content: content[:-1],
    "its bytes are not those that were written": lambda content: content[:-1] + b"?",
    "it is 0 bytes long": lambda content: b"",
    "it is a zip archive, as PyTorch's .pt and NumPy's .npz are": lambda content: b"PK\x03\x04" + bytes(100),
    "such files can run code, and are never read here": lambda content: b"\x80\x02}q\x00." + bytes(100),
    "it is a NumPy array": lambda content: b"\x93NUMPY" + bytes(100),
    "a newer version": of_a_newer_version,
    "its format is None": lambda content: save(load(content)),
}
READERS = [
    "generate broken a",
    "evaluate broken {text}",
    "sampling broken a",
    "trace broken --text 'To be, or not to be'",
]


@pytest.mark.parametrize("line", READERS)
@pytest.mark.parametrize("reason", DAMAGES)
def test_a_model_that_cannot_be_read_is_told_with_what_can_take_its_place(check, run, reason, line):
    shutil.copytree(run, "broken")
    model = Path("broken/model.safetensors")
    model.write_bytes(DAMAGES[reason](model.read_bytes()))
    check(line, reason)
    check(line, "; its checkpoint of step 4 is whole: --checkpoint 4")
    shutil.rmtree("broken/checkpoints")
    check(line, reason)


@pytest.mark.parametrize("reason", DAMAGES)
def test_a_run_without_a_whole_checkpoint_cannot_be_resumed(check, run, reason):
    shutil.copytree(run, "broken")
    for path in Path("broken/checkpoints").iterdir():
        path.write_bytes(DAMAGES[reason](path.read_bytes()))
    check("train --resume broken", "'broken/checkpoints' holds no whole checkpoint")
    check("train --resume broken", reason)


@pytest.mark.parametrize("line", READERS)
@pytest.mark.parametrize(
    ("content", "reason"),
    [(b"{}", "is not a tokenizer file"), (b"\xff", "is not valid JSON"), (b"[" * 10**5, "is not valid JSON")],
)
def test_a_tokenizer_that_cannot_be_read_is_told(check, run, content, reason, line):
    shutil.copytree(run, "broken")
    Path("broken/tokenizer.json").write_bytes(content)
    check(line, f"'broken/tokenizer.json' {reason}")


# ---- what is forbidden


@contextlib.contextmanager
def nobody():
    """Within this block the process has no rights of root's."""
    if os.geteuid() != 0:
        yield
        return
    os.setresuid(65534, 65534, 0)
    try:
        yield
    finally:
        os.setresuid(0, 0, 0)


@pytest.fixture
def reachable(monkeypatch):
    """A working directory that everybody reaches, unlike tmp_path."""
    with tempfile.TemporaryDirectory() as folder:
        Path(folder).chmod(0o777)
        with monkeypatch.context() as patch:
            patch.chdir(folder)
            yield Path(folder)


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere a process does not give rights away for a while")
@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("train closed.txt", "cannot read 'closed.txt': Permission denied"),
        ("evaluate here closed.txt", "cannot read 'closed.txt': Permission denied"),
        ("train --config closed.txt", "cannot read --config 'closed.txt': Permission denied"),
        ("train short.txt --out closed/run", "closed' cannot be written"),
        ("train --resume closed", "--resume 'closed': 'closed' cannot be written"),
        ("train --resume half --steps 9", "--resume 'half': 'half/checkpoints' cannot be written"),
        ("generate sealed a", "cannot read 'sealed/model.safetensors': Permission denied"),
        ("sampling here a --html closed/page.html", "--html 'closed/page.html': its folder cannot be written"),
        ("trace --json closed/step.json", "--json 'closed/step.json': its folder cannot be written"),
        ("pitfalls exercise gelu --file closed/x.py", "cannot use 'closed/x.py': Permission denied"),
    ],
)
def test_what_is_forbidden_is_told(tg, run, reachable, line, expected):
    Path("short.txt").write_text("x" * 37)
    Path("closed.txt").touch()
    Path("closed.txt").chmod(0)
    for name in ("here", "sealed", "closed", "half"):
        shutil.copytree(run, name)
    Path("sealed/model.safetensors").chmod(0)
    Path("closed").chmod(0o555)
    Path("half").chmod(0o777)
    Path("half/checkpoints").chmod(0o555)
    before = listing(reachable)
    tg("pitfalls", "exercise")  # imports what nobody may not, as do these
    for command in COMMANDS:
        command_module(command)
    with nobody():
        result = tg(*shlex.split(line))
    assert (result.code, result.out, result.err.count("\n")) == (2, "", 1)
    assert expected in result.err
    assert listing(reachable) == before
    Path("closed").chmod(0o755)


FULL = """
import resource, sys
from tinygrad_gpt.cli import main
resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))
sys.exit(main(sys.argv[1:]))
"""


@pytest.mark.skipif(sys.platform == "win32", reason="there are no such limits")
def test_a_disk_that_takes_no_more_is_told_before_the_training(program, text_file, tiny, empty_folder):
    done = program.python("-c", FULL, "train", text_file, *tiny, "--out", "new/run")
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == "tinygrad-gpt train: cannot use 'new/run': File too large\n"
    assert not list(empty_folder.iterdir())


# ---- a machine without a GPU, or with too little memory


@pytest.mark.skipif(backend.why_no_cuda() is None, reason="here a GPU can be had")
@pytest.mark.parametrize(
    "line", ["train {text}", "generate {run} a", "evaluate {run} {text}", "sampling {run} a", "trace", "trace {run}"]
)
def test_a_gpu_that_is_not_there_is_one_line_with_the_remedy(check, line):
    check(f"{line} --device cuda", backend.why_no_cuda())


@pytest.mark.parametrize(
    "line", ["train {text} --tokenizer bytes", "trace", "trace {run} --text 'To be, or not to be'"]
)
def test_a_machine_that_is_too_small_is_told_before_it_is_full(check, monkeypatch, line):
    for module in ("train.budget", "trace"):
        monkeypatch.setattr(f"tinygrad_gpt.cli.{module}.memory_limit_bytes", lambda: 10**5)
    check(line, "of memory, this machine has 100 kB: use a smaller model, --batch-size or --context-length")


def test_memory_that_runs_out_is_one_line_with_what_takes_less(monkeypatch, tg, text_file, tiny):
    def too_much(*_, **__):
        raise MemoryError("Out of memory allocating 8,589,934,592 bytes")

    monkeypatch.setattr(steps, "train", too_much)
    result = tg("train", text_file, *tiny)
    assert result.code == 1
    assert result.err == (
        "tinygrad-gpt train: out of memory: Out of memory allocating 8,589,934,592 bytes: use a smaller --batch-size "
        "or --context-length, --accumulation or --activation-checkpointing\n"
    )


# ---- somebody's own code


@pytest.mark.parametrize(
    ("code", "told"),
    [
        ("\n1 / 0", "SCRIPT own.py, line 2: ZeroDivisionError: division by zero; python own.py shows the traceback"),
        ("import sys; sys.exit('no')", "SCRIPT 'own.py' ended with exit code 'no'"),
        ("import sys; sys.exit(3)", "SCRIPT 'own.py' ended with exit code 3"),
    ],
)
def test_a_script_that_stops_with_an_error_is_one_line_and_1(tg, code, told):
    Path("own.py").write_text(code)
    assert tuple(tg("trace", "own.py")) == (1, "", f"tinygrad-gpt trace: {told}\n")


# ---- what looks wrong and is not


def test_nul_and_crlf_are_kept(tg, tiny):
    content = b"a\x00b\r\nc\rd" * 40
    Path("strange.txt").write_bytes(content)
    result = tg("train", "strange.txt", *tiny, "--val-fraction", "0", "--max-text-mb", "0", "--out", "run")
    assert (result.code, result.err) == (0, "")
    tokens = np.fromfile("run/tokens.bin", np.uint16)
    assert build_tokenizer("bytes", "").decode_bytes(tokens) == content


# ---- the line itself


def test_the_line_names_the_program_and_the_command(tg):
    assert tg("train", "missing.txt").err.startswith("tinygrad-gpt train: ")
    assert tg("missing").err.startswith("tinygrad-gpt: ")


@pytest.mark.parametrize("name", ["two\nlines.txt", "bell\a.txt", "\udcff.txt"])
def test_a_strange_file_name_does_not_break_the_line(check, name):
    check("train '" + name + "'", "cannot read")


def test_as_a_process_too(program, empty_folder):
    done = program("train", "missing.txt", LC_ALL="C", PYTHONIOENCODING="ascii")
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == "tinygrad-gpt train: cannot read 'missing.txt': No such file or directory\n"
    assert not list(empty_folder.iterdir())


def test_a_fault_of_the_program_keeps_its_traceback(tg, monkeypatch, text_file):
    from tinygrad_gpt.cli.train import budget

    def broken(*_, **__):
        raise ValueError("a bug")

    monkeypatch.setattr(budget, "training_bytes", broken)
    with pytest.raises(ValueError, match="a bug"):
        tg("train", text_file, "--tokenizer", "bytes")
