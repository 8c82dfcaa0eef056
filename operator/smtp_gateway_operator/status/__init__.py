"""What is said about a gateway: `rollout` reads its pods, `conditions` judges, `transitions` says what is worth an Event.

All pure: values in, values out, the time given.
"""
