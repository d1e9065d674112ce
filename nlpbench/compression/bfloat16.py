"""Weights in bfloat16."""

from __future__ import annotations

from nlpbench.compression._cast import Cast


class Bfloat16(Cast):
    """Halves the file: bfloat16 has 8 bits of precision, and the range of float32.

    Kalamkar et al. 2019, "A Study of BFLOAT16 for Deep Learning Training". Faster where the processor
    multiplies in it (AMX, AVX512-BF16, GPUs since Ampere). Plain transformers loads the result, in
    this type.

        compression: [bfloat16]
    """
