"""A real S3 server on this machine: s3s-fs, which scripts/prepare.sh installs."""

import os
import re
import subprocess
import sys
import time

from . import system

BUCKET = "fleet"
SECRET = "a-secret-for-this-machine-only"
# Building it takes some minutes, once.
BUILD = 3600
# How long it may take until it listens.
START = 10


def program():
    """Installs the server where it is missing; gives its path."""
    script = "source scripts/prepare.sh && need_toolchain && install_missing && install_s3s"
    # Standard output is for the table.
    result = subprocess.run(["bash", "-euo", "pipefail", "-c", script], cwd=system.REPOSITORY,
                            stdin=subprocess.DEVNULL, stdout=sys.stderr, timeout=BUILD, check=False)
    if result.returncode != 0:
        raise system.Failure("s3s-fs could not be installed (see above)")
    target = os.environ.get("CARGO_TARGET_DIR", "target")
    return os.path.join(system.REPOSITORY, target, "s3s-fs", "bin", "s3s-fs")


class S3:
    """Runs until it is closed, with one empty bucket in a new folder. This process and
    those that it starts reach it by the AWS variables."""

    def __init__(self, program, folder):
        log = os.path.join(folder, "log")
        root = os.path.join(folder, "objects")
        os.makedirs(os.path.join(root, BUCKET))
        with open(log, "wb") as output:
            self.process = subprocess.Popen(
                [program, "--host", "127.0.0.1", "--port", "0", "--access-key", "key", "--secret-key", SECRET, root],
                env=system.environment("/", RUST_LOG="info"), stdin=subprocess.DEVNULL, stdout=output,
                stderr=subprocess.STDOUT, start_new_session=True,
            )
        try:
            port = self.port(log)
        except BaseException:
            self.close()
            raise
        self.url = f"s3://{BUCKET}/machines"
        for name in [name for name in os.environ if name.startswith("AWS_")]:
            del os.environ[name]
        os.environ.update({
            "AWS_ENDPOINT_URL": f"http://127.0.0.1:{port}",
            "AWS_REGION": "eu-1",
            "AWS_ACCESS_KEY_ID": "key",
            "AWS_SECRET_ACCESS_KEY": SECRET,
        })

    def port(self, log):
        """The port that it says it listens on."""
        end = time.monotonic() + START
        while time.monotonic() < end and self.process.poll() is None:
            with open(log, encoding="utf-8", errors="replace") as file:
                if found := re.search(r"127\.0\.0\.1:(\d+)\D", file.read()):
                    return int(found[1])
            time.sleep(0.01)
        with open(log, encoding="utf-8", errors="replace") as file:
            raise system.Failure(f"s3s-fs does not listen: {file.read().strip()[-300:] or 'it says nothing'}")

    def close(self):
        system.kill_group(self.process)
