"""Set before anything numerical is imported: tests fit tiny models, for which a second thread only costs time."""

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")
