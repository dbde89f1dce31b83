@0 system
[sandbox] image vm0/claude-code:latest, 2 vCPU, 4096 MB
[sandbox] volume raw-sales mounted at /home/user/input
@0.9 init
@2 text
Each till has an export of its own for each month. I merge them month by month, and check for orders that two tills have both sent.
@0.5 Glob **/*.csv
/home/user/input/export/orders_2025.csv
/home/user/input/export/regions.csv
@repeat 42
@3+9 Bash Merge month {n} :: python3 merge.py --month {n}
month {n}: 14 tills, {roll} orders, sorted on disk
@0.4 net GET https://tills.example.com/export?month={n} 200 {roll}
@0.5 system
[metrics] cpu 97%\r[metrics] cpu 99%
[disk] slow write, {roll} ms
@again
@2 thinking
42 of 81 months, and the time is more than half gone. Sorting on disk is what takes so long.
@1 text
This is slow: sorting on disk takes 40 s a month by now. I switch to a merge that keeps only one month in memory.
@20 system
\e[33m[sandbox] time limit of 30 minutes reached\e[0m
[sandbox] agent stopped (SIGKILL)
