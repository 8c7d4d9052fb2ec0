"""A step that was not finite is saved, and runs again to the same finding."""

import json

import numpy as np
import pytest

from tinygrad_gpt.checkpoints import load_checkpoint
from tinygrad_gpt.debug import Crash, crash, find_nonfinite, replay
from tinygrad_gpt.kernels.cuda import current_precision, precision
from tinygrad_gpt.nn import GPT, GPTConfig
from tinygrad_gpt.rng import Dropout

CONFIG = GPTConfig(vocab_size=7, context_length=4, emb_dim=8, n_heads=2, n_layers=1, drop_rate=0.3)
IDS = np.arange(12).reshape(3, 4) % 7


def test_a_saved_step_gives_the_same_finding_again(tmp_path):
    model = GPT(CONFIG, seed=4)
    model.parameters()["h.0.mlp.c_fc.weight"].data *= np.float32(1e25)
    model.parameters()["h.0.mlp.c_proj.weight"].data *= np.float32(1e25)
    found = Crash(model, IDS, IDS, step=5, seed=3, accumulation=2, message="step 5: loss is nan")
    found.save(tmp_path / "crash")
    assert found.found is not None
    assert found.found == find_nonfinite(model, IDS, IDS, dropout=Dropout(3, 5), accumulation=2)
    assert replay(tmp_path / "crash") == found.found
    report = (tmp_path / "crash" / "report.txt").read_text("utf-8")
    assert report.startswith(f"step 5: loss is nan\n\n{found.found.report()}\n\nTo look again:")
    assert load_checkpoint(tmp_path / "crash" / "model.safetensors").step == 4


def test_a_step_that_is_finite_when_it_runs_again_is_saved_too(tmp_path):
    found = Crash(GPT(CONFIG), IDS, IDS, step=1, seed=0)
    found.save(tmp_path / "crash")
    assert found.cause == "when the step ran again, everything was finite"
    assert replay(tmp_path / "crash") is None


def test_a_step_runs_again_in_its_precision(monkeypatch, tmp_path):
    with precision("tf32"):
        Crash(GPT(CONFIG), IDS, IDS, step=5, seed=3).save(tmp_path / "crash")
    seen = []
    monkeypatch.setattr(crash, "find_nonfinite", lambda *_, **__: seen.append(current_precision()))
    replay(tmp_path / "crash")
    step = tmp_path / "crash" / "step.json"
    step.write_text(step.read_text("utf-8").replace('"precision": "tf32", ', ""), "utf-8")  # as older ones are
    replay(tmp_path / "crash")
    assert seen == ["tf32", "float32"]


@pytest.fixture(scope="module")
def saved_step(tmp_path_factory):
    folder = tmp_path_factory.mktemp("run") / "crash"
    Crash(GPT(CONFIG), IDS, IDS, step=5, seed=3).save(folder)
    return folder, json.loads((folder / "step.json").read_text("utf-8"))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"ids": ...}, "has no field 'ids'"),
        ({"step": ...}, "has no field 'step'"),
        ({"seed": ...}, "has no field 'seed'"),
        ({"accumulation": ...}, "has no field 'accumulation'"),
        ({"targets": None}, "targets must be whole numbers"),
        ({"ids": [[0.5, 1], [1, 2]]}, "ids must be whole numbers"),
        ({"ids": [[0, 1], [7]]}, "ids must be an array, its rows equally long"),
        ({"ids": [[0, 1]]}, "ids and targets must have one shape"),
        ({"targets": [[10**30]]}, "targets must be whole numbers"),
        ({"targets": [[7]]}, "targets must be from 0 to 6; got 7"),
        ({"step": "5"}, "step must be a whole number of at least 1; got '5'"),
        ({"seed": -1}, "seed must be"),
        ({"seed": None}, "seed must be"),
        ({"accumulation": 0}, "accumulation must be a whole number of at least 1; got 0"),
        ({"precision": []}, "precision must be one of"),
    ],
    ids=str,
)
def test_a_step_that_was_changed_is_refused_in_one_line_with_its_file_and_field(saved_step, change, message):
    folder, saved = saved_step
    changed = {name: value for name, value in (saved | change).items() if value is not ...}
    (folder / "step.json").write_text(json.dumps(changed), "utf-8")
    with pytest.raises(ValueError, match=r"step\.json") as error:
        replay(folder)
    assert message in str(error.value)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("text", ["", "[]", "5", '{"step": NaN}', '{"step": 1, "step": 2}', b"\xff", "[" * 10**5])
def test_a_step_that_is_not_an_object_of_json_is_refused_in_one_line_with_its_file(saved_step, text):
    file = saved_step[0] / "step.json"
    file.write_bytes(text if isinstance(text, bytes) else text.encode())
    with pytest.raises(ValueError, match=r"^cannot use '.*step\.json': .") as error:
        replay(file.parent)
    assert "\n" not in str(error.value)
