# SPDX-License-Identifier: Apache-2.0
"""The names of `nki.typing`: `tensor[128, 512]` declares the shape of a kernel's argument, which nkisim checks."""

from nkisim.language.annotations import mutable_tensor, tensor

__all__ = ["mutable_tensor", "tensor"]
