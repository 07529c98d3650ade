"""Many runs: search, replay, minimize and confirm; campaigns over all scenarios; measurements."""
