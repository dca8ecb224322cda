"""A trained network, of which only ``W = kept + removed`` is known: what the theorem can say of it.

`layer` holds what is known of one layer, `nulls` what pure noise would look like in its place, `noise` and
`predicates` the hypotheses that this decides, `claims` the conclusions, and `examination` all of it.
"""
