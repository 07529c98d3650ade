"""What campaigns have found, for people and for other tools: text, a static site, JUnit, SARIF, annotations.

`values` has what is shown, and all the other modules only put it into a form.
"""
