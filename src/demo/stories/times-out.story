@0.8 text
This takes longer than I thought. I go on.
@0.8 system
\e[33m[sandbox] time limit reached\e[0m
[sandbox] agent stopped (SIGKILL)
