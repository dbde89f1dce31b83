"""The server process: see bench-server.rs for what is spoken with it."""

import json
import select
import subprocess

from . import system

# Reading the archives from disk, or making a million files.
START = 600
ANSWER = 30


class Server:
    def __init__(self, program, arguments):
        self.process = subprocess.Popen(
            [program, *arguments], stdin=subprocess.PIPE, stdout=subprocess.PIPE, start_new_session=True
        )
        try:
            hello = self.read(START)
        except BaseException:
            self.close()
            raise
        self.url, self.token = hello["url"], hello["token"]
        self.run, self.live, self.agent = hello["run"], hello["live"], hello["agent"]
        self.artifacts = {artifact["name"]: artifact for artifact in hello["artifacts"]}

    def read(self, limit):
        ready, _, _ = select.select([self.process.stdout], [], [], limit)
        line = self.process.stdout.readline() if ready else b""
        if not line:
            raise system.Failure("the server does not answer")
        return json.loads(line)

    def ask(self, command):
        self.process.stdin.write(command.encode() + b"\n")
        self.process.stdin.flush()
        return self.read(ANSWER)

    def network(self, latency, rate):
        self.ask(f"network {latency} {rate}")

    def download_url(self, name):
        artifact = self.artifacts[name]
        return f"{self.url}/v1/artifacts/{artifact['storage_id']}/download?version_id={artifact['id']}"

    def close(self):
        try:
            self.process.stdin.close()
            self.process.wait(system.END)
        except (OSError, subprocess.TimeoutExpired):
            system.kill_group(self.process)
