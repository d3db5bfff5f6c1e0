"""Results as people and programs want them: files, figures and pages; `vlm3 figure`, `vlm3 scene`.

Sees everything, since it joins what the packages below keep apart.
"""
