"""Guard removals, as patches beside the code and never inside it: what the checkers must find."""
