"""afstem under Prefect: what its deployments are, what its server needs, and what its UI is told.

The only package that imports Prefect, besides the flows; of the commands, `afstem serve` and
`afstem bootstrap` alone import it.
"""
