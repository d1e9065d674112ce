"""Weights in float16."""

from __future__ import annotations

from nlpbench.compression._cast import Cast


class Float16(Cast):
    """Halves the file: IEEE 754 binary16 has 11 bits of precision, and numbers up to 65,504.

    Micikevicius et al. 2017, "Mixed Precision Training". Meant for GPUs: most CPUs compute in it more
    slowly than in float32. Plain transformers loads the result, in this type.

        compression: [float16]
    """
