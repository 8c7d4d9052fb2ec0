"""A step that was not finite is saved, and runs again to the same finding."""

import numpy as np

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
