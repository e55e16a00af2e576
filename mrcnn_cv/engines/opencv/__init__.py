"""cv2.dnn, alone or with matrix products of numpy's BLAS."""
