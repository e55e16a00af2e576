"""`mrcnn-cv bench`: how fast this machine runs a model, step by step, and against other ways of running it.

Every contestant has a process of its own: thread pools cannot get in each other's way, the peak of memory is each one's
own, and a peer may live in another Python environment. They take turns, so that a machine that slows down slows all.
"""
