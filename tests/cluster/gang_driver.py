"""The driver of a gang whose patience is short, for tests.

python -m tests.cluster.gang_driver CONFIG [section.key=value ...]
"""

from __future__ import annotations

from cluster import gang_places
from jobs.train_recognizer import JOB

if __name__ == "__main__":
    gang_places.NOTICE_S = gang_places.PATIENCE_S = 2.0
    JOB.main()
