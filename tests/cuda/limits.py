"""What each kernel may use of a multiprocessor, under each set of defines that its wrappers compile it with.

    LIMITS[file] = [(defines, {kernel: (most registers of a thread, most bytes of static shared memory)}), ...]

A multiprocessor has 65,536 registers: with 32 a thread it can hold 2,048 threads, with 128 it holds 512.
"""

from collections.abc import Mapping
from typing import Any

from tinygrad_gpt.ops.gelu import A, C

Limits = dict[str, list[tuple[Mapping[str, Any], Mapping[str, tuple[int, int]]]]]

FLOAT, BFLOAT16 = {"T": "float"}, {"T": "__nv_bfloat16"}
GELU = {"A": A, "C": C}
ELEMENTWISE = {"cast": (24, 0), "add": (24, 0), "scale": (24, 0), "multiply": (24, 0)}
CROSS_ENTROPY = {
    "cross_entropy_forward": (32, 256),
    "cross_entropy_backward": (32, 0),
    "cross_entropy_in_place": (32, 256),
    "loss_of_rows": (32, 512),
}

LIMITS: Limits = {
    "attention.cu": [
        (
            {"D": 64, "TILE": 32, "DROP": 0, "STORAGE": "float"},
            {
                "attention_backward_q": (136, 39424),
                "attention_backward_kv": (136, 39680),
                "attention_forward": (128, 30720),
                "attention_rowsums": (32, 0),
            },
        ),
        (
            {"D": 64, "TILE": 32, "DROP": 1, "STORAGE": "float"},
            {
                "attention_backward_q": (136, 39424),
                "attention_backward_kv": (136, 39680),
                "attention_forward": (120, 30720),
                "attention_rowsums": (32, 0),
            },
        ),
        (
            {"D": 64, "TILE": 32, "DROP": 2, "STORAGE": "float"},
            {
                "attention_backward_q": (136, 39616),
                "attention_backward_kv": (136, 39872),
                "attention_forward": (136, 30912),
                "attention_rowsums": (32, 0),
            },
        ),
        (
            {"D": 128, "TILE": 16, "DROP": 2, "STORAGE": "float"},
            {
                "attention_backward_q": (176, 35136),
                "attention_backward_kv": (176, 35264),
                "attention_forward": (176, 26688),
                "attention_rowsums": (32, 0),
            },
        ),
    ],
    "attention_bfloat16.cu": [
        (
            {"D": 64, "TILE": 64, "DROP": 0, "STORAGE": "__nv_bfloat16"},
            {
                "attention_backward_q": (184, 36864),
                "attention_backward_kv": (208, 37376),
                "attention_forward": (160, 18432),
                "attention_rowsums": (32, 0),
            },
        ),
        (
            {"D": 64, "TILE": 64, "DROP": 1, "STORAGE": "__nv_bfloat16"},
            {
                "attention_backward_q": (208, 36864),
                "attention_backward_kv": (232, 37376),
                "attention_forward": (176, 18432),
                "attention_rowsums": (32, 0),
            },
        ),
        (
            {"D": 64, "TILE": 64, "DROP": 2, "STORAGE": "__nv_bfloat16"},
            {
                "attention_backward_q": (208, 37504),
                "attention_backward_kv": (232, 38016),
                "attention_forward": (168, 19072),
                "attention_rowsums": (32, 0),
            },
        ),
        (
            {"D": 128, "TILE": 32, "DROP": 2, "STORAGE": "__nv_bfloat16"},
            {
                "attention_backward_q": (192, 35008),
                "attention_backward_kv": (248, 35264),
                "attention_forward": (200, 17600),
                "attention_rowsums": (32, 0),
            },
        ),
    ],
    "columns.cu": [
        ({"T": "float", "TALL": 8}, {"column_sums": (32, 1024)}),
        ({"T": "__nv_bfloat16", "TALL": 8}, {"column_sums": (32, 1024)}),
    ],
    "cross_entropy.cu": [
        (
            {"T": "float"},
            {
                "loss_of_rows": (32, 512),
                "cross_entropy_in_place": (40, 256),
                "cross_entropy_backward": (40, 0),
                "cross_entropy_forward": (32, 256),
            },
        ),
        (
            {"T": "__nv_bfloat16"},
            {
                "loss_of_rows": (32, 512),
                "cross_entropy_in_place": (40, 256),
                "cross_entropy_backward": (40, 0),
                "cross_entropy_forward": (32, 256),
            },
        ),
    ],
    "decode.cu": [
        ({"D": 64, "STORAGE": "float", "WARPS": 8}, {"attend": (64, 2112), "append": (40, 0)}),
        ({"D": 64, "STORAGE": "__nv_bfloat16", "WARPS": 8}, {"attend": (64, 2112), "append": (40, 0)}),
        ({"D": 256, "STORAGE": "float", "WARPS": 8}, {"attend": (64, 8256), "append": (40, 0)}),
        ({"D": 256, "STORAGE": "__nv_bfloat16", "WARPS": 8}, {"attend": (64, 8256), "append": (40, 0)}),
    ],
    "dropout.cu": [
        ({"T": "float"}, {"drop": (40, 0)}),
        ({"T": "__nv_bfloat16"}, {"drop": (40, 0)}),
    ],
    "elementwise.cu": [
        (
            {"B_TYPE": "float", "A_TYPE": "float"},
            {"multiply": (24, 0), "scale": (24, 0), "add": (24, 0), "cast": (24, 0)},
        ),
        (
            {"B_TYPE": "float", "A_TYPE": "__nv_bfloat16"},
            {"multiply": (24, 0), "scale": (24, 0), "add": (24, 0), "cast": (16, 0)},
        ),
        (
            {"B_TYPE": "__nv_bfloat16", "A_TYPE": "float"},
            {"multiply": (24, 0), "scale": (24, 0), "add": (24, 0), "cast": (24, 0)},
        ),
        (
            {"B_TYPE": "__nv_bfloat16", "A_TYPE": "__nv_bfloat16"},
            {"multiply": (24, 0), "scale": (24, 0), "add": (24, 0), "cast": (16, 0)},
        ),
    ],
    "embedding.cu": [
        ({"TILE": 256}, {"sum_runs": (24, 0), "sort_ids": (32, 2048), "gather_rows": (24, 0)}),
    ],
    "gelu.cu": [
        ({"T": "float", "C": C, "A": A}, {"gelu_backward": (32, 0), "gelu_forward": (32, 0)}),
        ({"T": "__nv_bfloat16", "C": C, "A": A}, {"gelu_backward": (32, 0), "gelu_forward": (32, 0)}),
    ],
    "layer_norm.cu": [
        ({"T": "float", "SUMS": 12288}, {"layer_norm_backward": (56, 49152), "layer_norm_forward": (40, 0)}),
        ({"T": "__nv_bfloat16", "SUMS": 12288}, {"layer_norm_backward": (56, 49152), "layer_norm_forward": (48, 0)}),
    ],
    "linear.cu": [
        ({"T": "float"}, {"fill_rows": (24, 0)}),
        ({"T": "__nv_bfloat16"}, {"fill_rows": (16, 0)}),
    ],
    "mask.cu": [
        ({"T": "float"}, {"draw_mask": (56, 0)}),
        ({"T": "double"}, {"draw_mask": (48, 0)}),
    ],
    "optimizer.cu": [
        ({}, {"adamw": (48, 28), "norm_and_outcome": (32, 256), "squares_of_chunks": (40, 256)}),
    ],
    "softmax.cu": [
        (
            {"T": "float"},
            {
                "log_softmax_backward": (40, 128),
                "log_softmax_forward": (32, 256),
                "softmax_backward": (40, 128),
                "softmax_forward": (40, 256),
            },
        ),
        (
            {"T": "__nv_bfloat16"},
            {
                "log_softmax_backward": (40, 128),
                "log_softmax_forward": (32, 256),
                "softmax_backward": (32, 128),
                "softmax_forward": (32, 256),
            },
        ),
    ],
}


def kind_of(file: str, kernel: str, defines: Mapping[str, Any]) -> tuple[Any, ...]:
    """A kernel and its defines, numbers left out: they are sizes, of which the table holds examples."""
    named = {name: value if isinstance(value, str) else "a number" for name, value in dict(defines).items()}
    return file, kernel, tuple(sorted(named.items()))


def listed(limits: Limits) -> set[tuple[Any, ...]]:
    """The kinds that the table has."""
    return {
        kind_of(file, kernel, defines)
        for file, variants in limits.items()
        for defines, kernels in variants
        for kernel in kernels
    }
