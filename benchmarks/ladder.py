"""The bits that each model of the ladder needs for a byte of addresses that it never saw, and
those of `xz -9`.

Every test address is read whole, in windows of the context that move by half of it; the table gives
the mean over all bytes and, from a bootstrap over addresses, its interval.

    python -m benchmarks.ladder
"""

import lzma

import numpy as np

import fmcourse
from fmcourse import generation, models, stats


def main():
    texts = [row["text"] for row in fmcourse.load_addresses() if row["split"] == "test"]
    sizes = np.array([len(text.encode()) for text in texts])
    print(
        f"{len(texts)} test addresses, {sizes.sum():,} bytes; "
        "bits per byte [95% interval over addresses]"
    )
    for name in models.LADDER:
        model, tokenizer = fmcourse.load_gpt_neo(name)
        bits = sizes * [generation.bits_per_byte(model, tokenizer, text) for text in texts]
        show(f"{name} ({model.num_parameters():,} parameters)", bits, sizes)
    show("xz -9, each address on its own", np.array([8 * packed(text) for text in texts]), sizes)
    whole = "\n\n".join(texts)
    print(f"{'xz -9, all in one file':<40} {8 * packed(whole) / len(whole.encode()):.3f}")


def packed(text):
    return len(lzma.compress(text.encode(), preset=9))


def show(label, bits, sizes):
    pairs = np.stack([bits, sizes], axis=1)
    interval = stats.bootstrap(pairs, lambda chosen: chosen[:, 0].sum() / chosen[:, 1].sum())
    print(f"{label:<40} {interval:.3f}", flush=True)


if __name__ == "__main__":
    main()
