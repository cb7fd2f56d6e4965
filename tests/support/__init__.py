"""What the tests of `moe_cte` share: cases, their inputs, one run against the reference, and one tolerance table."""
