"""Many runs of one program, and what comes out of them."""
