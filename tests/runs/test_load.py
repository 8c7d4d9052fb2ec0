"""A run folder in Python: which file is read, and that sampling and training go on from it."""

import shutil

import numpy as np
import pytest

import tinygrad_gpt as tg
from tests.checkpoints.test_folder import flip
from tinygrad_gpt.runs import RunError
from tinygrad_gpt.runs.names import MODEL, TOKENIZER
from tinygrad_gpt.text import save_tokenizer

TEXT = "To be, or not to be, that is the question"
LOSSES = {2: 3.0, 4: 1.0, 6: 2.0}


def new(seed=0):
    config = tg.GPTConfig(vocab_size=256, context_length=4, emb_dim=4, n_heads=2, n_layers=1)
    model = tg.GPT(config, seed=seed)
    return model, tg.AdamW(model.parameters(), lr=0.01)


def batches():
    return tg.Batches(tg.tokenizer("bytes", "").encode(TEXT), context_length=4, batch_size=2, seed=1)


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A run of 6 steps with three checkpoints, of which the second is the best, and the model of step 5."""
    folder = tmp_path_factory.mktemp("made")
    (folder / "checkpoints").mkdir()
    kept = tg.Checkpoints(folder / "checkpoints", keep=9)
    save_tokenizer(tg.tokenizer("bytes", ""), folder / TOKENIZER)
    model, optimizer = new()
    for report in tg.train(model, optimizer, batches(), steps=6):
        if report.step in LOSSES:
            kept.save(model, optimizer, step=report.step, val_loss=LOSSES[report.step], metadata={"lr": "0.01"})
        if report.step == 5:
            tg.save_checkpoint(folder / MODEL, model, step=5)
    return folder


@pytest.fixture
def folder(made, tmp_path):
    shutil.copytree(made, tmp_path / "run")
    return tmp_path / "run"


@pytest.mark.parametrize(
    ("asked", "step"), [(None, 5), ("best", 4), ("newest", 6), (2, 2), ("2", 2), (6, 6), ("00000004", 4)]
)
@pytest.mark.parametrize("with_optimizer", [True, False])
def test_the_checkpoint_that_was_asked_for_is_read(made, asked, step, with_optimizer):
    run = tg.load_run(made, checkpoint=asked, with_optimizer=with_optimizer)
    assert (run.step, run.config, run.skipped) == (step, new()[0].config, ())
    file = MODEL if asked is None else f"checkpoints/checkpoint-0000000{step}.safetensors"
    assert run.path == made / file
    assert (run.checkpoint.optimizer_state is not None) == (with_optimizer and asked is not None)
    model, optimizer = new()
    for _ in tg.train(model, optimizer, batches(), steps=step):
        pass
    ids = run.tokenizer.encode("To")[None]
    assert run.model(ids).data.tobytes() == model(ids).data.tobytes()


def test_training_goes_on_from_it(made):
    run = tg.load_run(str(made), checkpoint=4)
    optimizer = tg.AdamW(run.model.parameters(), lr=float(run.checkpoint.metadata["lr"]))
    run.checkpoint.resume(optimizer)
    for _ in tg.train(run.model, optimizer, batches(), steps=6, start_step=run.step + 1):
        pass
    end = tg.load_run(made, checkpoint="newest").model
    for name, p in end.parameters().items():
        np.testing.assert_array_equal(run.model.parameters()[name].data, p.data)


def test_without_a_model_yet_the_newest_checkpoint_that_is_whole_is_read(folder):
    (folder / MODEL).unlink()
    assert tg.load_run(folder).step == 6
    flip(folder / "checkpoints" / "checkpoint-00000006.safetensors")
    run = tg.load_run(folder)
    assert run.step == 4
    assert len(run.skipped) == 1
    assert "checkpoint-00000006.safetensors" in run.skipped[0]


@pytest.mark.parametrize(
    ("remove", "asked", "reason"),
    [
        ("", 3, "has no checkpoint of step 3; it has those of steps 2, 4, 6"),
        ("checkpoints", 3, "has no checkpoint of step 3; it has none"),
        ("checkpoints", "newest", "cannot read .*checkpoints"),
        (TOKENIZER, None, "is not a run folder: it has no tokenizer.json"),
        (".", None, "is not a folder: give the one that train has made"),
    ],
)
def test_what_is_not_there_is_told(folder, remove, asked, reason):
    path = folder / remove
    if remove:
        shutil.rmtree(path) if path.is_dir() else path.unlink()
    with pytest.raises(tg.CheckpointError, match=reason):
        tg.load_run(folder, checkpoint=asked)


def test_a_folder_of_nothing_is_no_run(tmp_path):
    with pytest.raises(RunError, match=r"is not a run folder: it has no model\.safetensors"):
        tg.load_run(tmp_path)


@pytest.mark.parametrize("asked", ["last", "", "-1", "1.5", True, 1.5, -1, "²", "9" * 19])
def test_what_is_no_checkpoint_s_name_is_refused(made, asked):
    with pytest.raises(ValueError, match="checkpoint must be best, newest or a step; got"):
        tg.load_run(made, checkpoint=asked)


def test_the_tokenizer_of_another_run_is_refused(folder):
    save_tokenizer(tg.tokenizer("chars", TEXT), folder / TOKENIZER)
    with pytest.raises(RunError, match="its model knows 256 tokens, its tokenizer"):
        tg.load_run(folder)


def test_it_shows_itself_in_a_line(made):
    for checkpoint in (None, "newest"):
        shown = repr(tg.load_run(made, checkpoint=checkpoint))
        assert shown.startswith("<Run ")
        assert "\n" not in shown
        assert len(shown) < 400


def test_a_step_that_is_asked_for_is_the_step_that_is_read(folder):
    """A file of another step under its name is told, not taken."""
    first, *_, last = sorted((folder / "checkpoints").iterdir())
    shutil.copy(first, last)
    with pytest.raises(tg.CheckpointError, match=r"it holds step \d+, not \d+"):
        tg.load_run(folder, checkpoint=int(last.stem.split("-")[1]))
