# SPDX-License-Identifier: Apache-2.0
"""Device code of operations without experts' weights. Imports only `nki`, as all kernels."""
