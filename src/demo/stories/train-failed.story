%codex
@0 system
[sandbox] image vm0/codex:latest, 8 vCPU, 4096 MB
[sandbox] volume training-corpus mounted at /home/user/input
@1 init
@2 thinking
**Checking the memory**

512 dimensions need four times the memory of 128. It may be tight with 4096 MB.
@0.6+0.5 Bash head -n 2 /home/user/input/texts/part-0000.jsonl
<head 2 input/texts/part-0000.jsonl>
@repeat 10
@1+8 long python train.py --dimensions 512 --part {n}
step {n}00  loss 2.61
step {n}99  loss 2.02
@0.2 system
\rstep {n}00\rstep {n}50\rstep {n}99
@again
@1+8 long! python train.py --dimensions 512 --part 11
step 1100  loss 1.98
Killed
@0.5 system
\e[31m[kernel] Out of memory: Killed process 412 (python) total-vm:6120448kB\e[0m
@1 text
The training was killed for its memory: 512 dimensions need about 6 GB, the sandbox has 4.
@0.8 result!
{error}
@0.4 system
[sandbox] agent exited with code 1
