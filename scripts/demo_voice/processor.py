"""What the processor does well."""

import torch

FAST_BFLOAT16: bool = torch.cpu._is_avx512_bf16_supported()
"""Where it multiplies bfloat16 itself, products are made in it; weights and sums stay in float32."""
