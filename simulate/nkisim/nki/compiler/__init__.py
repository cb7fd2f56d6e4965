# SPDX-License-Identifier: Apache-2.0
"""The names of `nki.compiler`."""

from nkisim.language.compile_options import AddressRotation, CompileConfig, SpecializationConfig
from nkisim.language.program import no_reorder
from nkisim.nki._names import missing_names as _missing_names

__getattr__ = _missing_names("nki.compiler")

__all__ = ["AddressRotation", "CompileConfig", "SpecializationConfig", "no_reorder"]
