"""The families, in the order they run."""

from conformance.families.aiter import AITER
from conformance.families.attention import ATTENTION
from conformance.families.mlp import MLP
from conformance.families.moe import MOE
from conformance.families.samples import SAMPLES
from conformance.families.small import SMALL
from conformance.family import Family

FAMILIES: tuple[Family, ...] = (*MOE, *MLP, *ATTENTION, *SMALL, *SAMPLES, *AITER)
