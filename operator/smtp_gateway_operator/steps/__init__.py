"""What the next step of a fleet is, given what is there.

`scaling` says how large it may be, `rollouts` who may be renewed, `volumes` what is written on the volumes. All pure, and nothing is
remembered, so a restarted operator takes the same step.
"""
