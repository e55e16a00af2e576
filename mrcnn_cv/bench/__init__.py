"""`mrcnn-cv bench`: how fast this machine runs a model, step by step.

Every candidate has a process of its own: thread pools cannot get in each other's way, the peak of memory is each one's
own, and one may live in another Python environment. They take turns, so that a machine that slows down slows all.
"""
