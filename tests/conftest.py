"""Settings that must stand before any kernel starts."""

import os

os.environ["TQDM_DISABLE"] = "1"  # progress bars would differ from run to run
os.environ["JUPYTER_PREFER_ENV_PATH"] = "1"  # or a kernel of the user's may hijack the notebooks
