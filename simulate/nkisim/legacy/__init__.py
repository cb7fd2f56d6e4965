# SPDX-License-Identifier: Apache-2.0
"""NKI 0.1, the dialect of `neuronxcc.nki` up to Neuron SDK 2.26, on the core's instructions.

`nkisim.install(legacy=True)` makes `import neuronxcc.nki` mean `nkisim.legacy.nki`. Nothing in the core imports it.
"""
