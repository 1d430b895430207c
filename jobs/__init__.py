"""The commands of the factory: `python -m jobs` lists them.

The arguments of every job come in one order: what it works on (a release, a face, a folder), then
CONFIG, then changes to it as section.key=value, then options.
"""
