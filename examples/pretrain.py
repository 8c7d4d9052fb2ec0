"""How does a model learn to write?  Pretraining of a small GPT, start to end, in forty lines.

Expect: about half a minute, a loss that falls from ln V to below 6, a first sample of random words, then one repeated
word, and the plot of both losses.
"""

import argparse
from pathlib import Path

import tinygrad_gpt as tg
from tinygrad_gpt.training.plots import plot_losses

PROMPT = "The statement"


def main(device: str, out: Path, steps: int) -> None:
    text = tg.reference_manual()
    tokenizer = tg.tokenizer("compact", text)
    train_tokens, val_tokens = tg.split_tokens(tokenizer.encode(text), val_fraction=0.1)
    config = tg.GPTConfig(
        vocab_size=tokenizer.vocab_size, context_length=32, emb_dim=64, n_heads=4, n_layers=2, drop_rate=0.0
    )
    model = tg.GPT(config, seed=0, device=device)
    optimizer = tg.AdamW(model.parameters(), lr=3e-3)
    batches = tg.Batches(train_tokens, context_length=config.context_length, batch_size=16, seed=0)
    print(f"{model.n_parameters:,} parameters, {len(train_tokens):,} training tokens")

    def schedule(step: int) -> float:
        return tg.cosine_schedule(step, peak_lr=3e-3, total_steps=steps, warmup_steps=min(10, steps // 2), min_lr=3e-4)

    records, tokens_seen = [], 0
    for report in tg.train(model, optimizer, batches, steps=steps, schedule=schedule):
        tokens_seen += report.tokens
        if report.step % 25 == 0 or report.step == 1:
            val_loss = tg.evaluate(model, val_tokens, max_tokens=2000).loss
            records.append(
                {
                    "epoch": report.step / batches.steps_per_epoch,
                    "tokens_seen": tokens_seen,
                    "train_loss": float(report.loss),
                    "val_loss": val_loss,
                }
            )
            print(
                f"step {report.step:4d}, {tokens_seen:7,} tokens seen: train loss {float(report.loss):.3f}, "
                f"val loss {val_loss:.3f}, perplexity {tg.perplexity(val_loss):.1f}"
            )
            tokens = [int(ids[0]) for ids in tg.generate(model, [tokenizer.encode(PROMPT)], max_new_tokens=12)]
            print(f"    {PROMPT}{tokenizer.decode(tokens)!r}")

    out.mkdir(parents=True, exist_ok=True)
    plot_losses(records, out / "loss.png")
    print(f"plot: {out / 'loss.png'}")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", default="cpu", choices=("cpu", "cuda", "auto"))
    parser.add_argument("--out", type=Path, default=Path("runs/example"), help="folder for the plot")
    parser.add_argument("--steps", type=int, default=150, help="training steps")
    arguments = parser.parse_args()
    main(arguments.device, arguments.out, arguments.steps)
