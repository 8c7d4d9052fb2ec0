"""Bad input: exit code 2, one line on stderr that says what is allowed, no traceback, nothing written."""

import json
import os

import pytest

from tinygrad_gpt import backend

CASES = [  # the command line, what the line must hold; {text}, {run} and files of `prepared` can be named
    ("train missing.txt", "cannot read 'missing.txt': No such file"),
    ("train folder", "cannot read 'folder': Is a directory"),
    ("train empty.txt", "no text in 'empty.txt': empty, or only space"),
    ("train blank.txt", "no text in 'blank.txt': empty, or only space"),
    ("train latin1.txt", "byte 3 is 0xe9"),
    ("train latin1.txt", "errors 'replace'"),
    ("train {text} --encoding klingon", "'klingon'"),
    (
        "train short.txt --tokenizer bytes --context-length 64",
        "text has 37 tokens; context_length 64 needs at least 65",
    ),
    ("train {text} --tokenizer bytes --context-length 900 --val-fraction 0.2", "validation split (--val-fraction 0.2)"),
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
    ("train {text} --clip-norm 0", "--clip-norm must be above 0; got 0.0"),
    ("train {text} --batch-size 0", "--batch-size must be at least 1"),
    ("train {text} --epochs 0", "--epochs must be at least 1"),
    ("train {text} --steps 0", "--steps must be at least 1"),
    ("train {text} --steps 3 --warmup-steps 3", "--warmup-steps must be below the number of steps, 3; got 3"),
    ("train {text} --stride 0", "--stride must be at least 1"),
    ("train {text} --drop-last --batch-size 5000", "batch_size 5000 needs at least 5000"),
    ("train {text} --seed -1", "--seed must be at least 0 and below 2**64; got -1"),
    ("train {text} --seed 18446744073709551616", "--seed must be at least 0 and below 2**64"),
    ("train {text} --emb-dim 524288 --n-layers 4096", "of memory, this machine has"),
    ("train {text} --sample-prompt=", "--sample-prompt must not be empty"),
    ("train {text} --tokenizer chars --sample-prompt Ü", "character 'Ü' (U+00DC) at position 0"),
    ("train {text} --max-text-mb 0 --tokenizer chars", "--tokenizer chars takes its vocabulary from the whole text"),
    ("train {text} --contxt-length 3", "unknown option --contxt-length; did you mean --context-length?"),
    ("train {text} --zzz", "unknown option --zzz"),
    ("train {text} --lr", "--lr needs a value: a number"),
    ("train {text} --out=", "--out must name a folder"),
    ("train {text} --out short.txt", "'short.txt' is a file, not a folder"),
    ("train {text} --out short.txt/run", "short.txt' is a file, not a folder"),
    ("train {text} --out folder", "--out 'folder' is not empty: choose another folder, or --overwrite"),
    ("train {text} --out folder --overwrite", "holds 'thesis.doc', which no run wrote"),
    ("train {text} --out locked --overwrite", "is in use by the run of process"),
    ("train {text} --out locked", "is in use by the run of process"),
    ("train --resume missing", "--resume 'missing' is not a folder: give the one that train has made"),
    ("train --resume=", "--resume must name a folder; got ''"),
    ("train --resume folder", "--resume 'folder' is not a run folder: it has no config.toml"),
    ("train --resume short.txt", "'short.txt' is a file, not a folder"),
    ("train --config resume.toml", "resume is a flag alone"),
    ("train {text} --keep 1", "--keep must be at least 2"),
    ("train {text} --checkpoint-every 0", "--checkpoint-every must be at least 1; got 0"),
    ("train {text} --steps 3 --decay-steps 4", "--decay-steps must be at most the number of steps, 3; got 4"),
    ("train {text} --on-nonfinite ignore", "--on-nonfinite must be one of stop, skip; got 'ignore'"),
    (f"train {{text}} --out {'x' * 300}", "File name too long"),
    ("train {text} --precision tf32", "--precision tf32 needs a GPU (--device cuda); a CPU computes in float32"),
    ("train {text} --device tpu", "--device must be one of cpu, cuda, auto; got 'tpu'"),
    ("train --config missing.toml", "cannot read --config 'missing.toml': No such file"),
    ("train --config latin1.txt", "--config 'latin1.txt' is not TOML"),
    ("train --config key.toml", "unknown key 'context_lenght'; did you mean context_length?"),
    ("train --config type.toml", "epochs must be a whole number, at least 1; got '3'"),
    ("train --config float.toml", "epochs must be a whole number, at least 1; got 3.0"),
    ("train --config bool.toml", "lr must be a number, at least 0; got True"),
    ("train --config range.toml", "--drop-rate must be at least 0 and below 1; got 2.0"),
    ("train --config list.toml", "texts must be a list of texts; got ['a.txt', 3]"),
    ("generate missing-run hello", "RUN 'missing-run' is not a folder"),
    ("generate folder hello", "RUN 'folder' is not a run folder: it has no model.safetensors"),
    ("generate pickled hello", "cannot read 'pickled/model.safetensors'"),
    ("generate cut hello", "cannot read 'cut/model.safetensors'"),
    ("generate mixed hello", "its model knows 256 tokens, its tokenizer 3"),
    ("generate {run}", "needs TEXT"),
    ("generate", "needs RUN and TEXT"),
    ("generate {run} ''", "TEXT must not be empty"),
    ("generate {run} a b", "unexpected argument 'b'"),
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
    ("generate {run} a --seed -1", "--seed must be at least 0"),
    ("generate {run} a --stop=", "--stop must not be empty"),
    ("generate {run} a --show-probabilities 0", "--show-probabilities must be at least 1; got 0"),
    ("generate {run} a --temprature 1", "unknown option --temprature; did you mean --temperature?"),
    ("evaluate {run}", "needs TEXTS"),
    ("evaluate {run} missing.txt", "cannot read 'missing.txt'"),
    ("evaluate {run} one.txt", "at least 2 tokens"),
    ("evaluate {run} {text} --stride 9", "--stride must be at most the model's context length 8; got 9"),
    ("evaluate missing-run {text}", "RUN 'missing-run' is not a folder"),
    ("doctor now", "unexpected argument 'now'"),
    ("laws", "needs NAME"),
    ("laws nonsense", "pkg.module:name"),
    ("laws a:b --format yaml", "--format must be one of text, markdown, json; got 'yaml'"),
    ("trian", "unknown command 'trian'; did you mean train?"),
    ("--hlep", "unknown command '--hlep'"),
]


def prepared(folder, run):
    """Files and folders that go wrong, each in its way."""
    (folder / "folder").mkdir()
    (folder / "folder" / "thesis.doc").write_text("years of work")
    (folder / "empty.txt").write_bytes(b"")
    (folder / "blank.txt").write_bytes(b" \n\t\n")
    (folder / "latin1.txt").write_bytes("café, crème".encode("latin-1"))
    (folder / "short.txt").write_text("x" * 37)
    (folder / "one.txt").write_text("x")
    (folder / "key.toml").write_text("context_lenght = 3\n")
    (folder / "type.toml").write_text('epochs = "3"\n')
    (folder / "float.toml").write_text("epochs = 3.0\n")
    (folder / "bool.toml").write_text("lr = true\n")
    (folder / "range.toml").write_text("drop-rate = 2\n")
    (folder / "resume.toml").write_text('resume = "run"\n')
    (folder / "list.toml").write_text('texts = ["a.txt", 3]\n')
    (folder / "locked").mkdir()
    (folder / "locked" / "run.lock").write_text(json.dumps({"pid": os.getpid(), "host": "elsewhere"}))
    files = {name: (run / name).read_bytes() for name in ("model.safetensors", "tokenizer.json")}
    changed = {
        "pickled": {"model.safetensors": b"\x80\x04\x95" + bytes(100)},
        "cut": {"model.safetensors": files["model.safetensors"][:-1]},
        "mixed": {"tokenizer.json": tokenizer_of_three(folder)},
    }
    for name, content in changed.items():
        (folder / name).mkdir()
        for file, data in (files | content).items():
            (folder / name / file).write_bytes(data)


def tokenizer_of_three(folder):
    from tinygrad_gpt.text import Characters, save_tokenizer

    save_tokenizer(Characters("abc"), folder / "three.json")
    return (folder / "three.json").read_bytes()


def listing(folder):
    return {path: path.read_bytes() if path.is_file() else None for path in sorted(folder.rglob("*"))}


def arguments(line, **names):
    import shlex

    return [part.format(**names) for part in shlex.split(line)]


@pytest.fixture
def check(tg, empty_folder, run, text_file):
    prepared(empty_folder, run)

    def check(line, expected):
        before = listing(empty_folder)
        result = tg(*arguments(line, text=text_file, run=run))
        assert result.code == 2
        assert expected in result.err
        assert result.err.count("\n") == 1
        assert result.err.endswith("\n")
        assert "Traceback" not in result.err
        assert result.out == ""
        assert listing(empty_folder) == before

    return check


@pytest.mark.parametrize(("line", "expected"), CASES, ids=[f"{i}: {line}" for i, (line, _) in enumerate(CASES)])
def test_bad_input_is_one_line_and_leaves_no_trace(check, line, expected):
    check(line, expected)


@pytest.mark.skipif(backend.why_no_cuda() is None, reason="here a GPU can be had")
@pytest.mark.parametrize("line", ["train {text}", "generate {run} a", "evaluate {run} {text}"])
def test_a_gpu_that_is_not_there_is_one_line_with_the_remedy(check, line):
    check(f"{line} --device cuda", backend.why_no_cuda())


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_a_folder_that_cannot_be_written_is_one_line(check, empty_folder):
    (empty_folder / "closed").mkdir(mode=0o500)
    check("train {text} --out closed/run", "'closed' cannot be written")


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
    from tinygrad_gpt.cli import prepare

    def broken(*_, **__):
        raise ValueError("a bug")

    monkeypatch.setattr(prepare, "memory_needed", broken)
    with pytest.raises(ValueError, match="a bug"):
        tg("train", text_file, "--tokenizer", "bytes")
