# SPDX-License-Identifier: Apache-2.0
"""Many independent predictions: where they run, and where they are kept. What is predicted is the caller's matter."""
