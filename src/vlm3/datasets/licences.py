"""Where licences were read that a set's own repository does not state.

Both are tables in which others say under what terms they took the sets; where a set's own page is
at hand, that is what counts.
"""

MAPANYTHING_TABLE = "MapAnything (arXiv 2509.13414), Table 1"
DEPTH_PRO_TABLE = "Depth Pro (arXiv 2410.02073), table of data sets in appendix C"
