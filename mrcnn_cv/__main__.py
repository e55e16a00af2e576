"""`python -m mrcnn_cv` is `mrcnn-cv`."""

from mrcnn_cv.cli import main

if __name__ == "__main__":
    main()
