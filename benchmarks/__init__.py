"""How fast the program is, beside what others do: made data, both sides in one run, tables of ratios.

``make bench`` runs `__main__`, ``make bench-country`` the country, ``make compare A=<rev> B=<rev>`` holds two commits
against each other. Nothing is asserted on timings; that both sides say the same is.
"""
