%codex
@0 system
[sandbox] image vm0/codex:latest, 8 vCPU, 4096 MB
[sandbox] volume training-corpus mounted at /home/user/input
@1 init
@0.5 TodoWrite
[ ] Load both versions
[ ] Recall at 1, 10 and 100
[ ] Speed of a search
@2+4 Bash python tools/load.py --check
64: 262144 rows
128: 262144 rows
@0.5 TodoWrite
[x] Load both versions
[ ] Recall at 1, 10 and 100
[ ] Speed of a search
@repeat 5
@2+30 long python evaluate.py --part {n}
part {n}: 64 dimensions: recall@10 0.6{n}
part {n}: 128 dimensions: recall@10 0.7{n}
@again
@1 text
So far 128 dimensions find about ten more of a hundred; the search takes 1.7 times as long. Five more parts to go.
