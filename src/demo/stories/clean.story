@0 system
[sandbox] image vm0/claude-code:latest, 2 vCPU, 4096 MB
[sandbox] volume raw-sales mounted at /home/user/input
@0.9 init
@0.3 net POST https://api.anthropic.com/v1/messages 200 1730
@2.5 text
I read the schema first, so that I know what "clean" means here.
@0.2 Read input/SCHEMA.txt
@0.5 Read input/export/regions.csv
@1 Bash First rows of the export :: head -n 9 /home/user/input/export/orders_2025.csv
<head 9 input/export/orders_2025.csv>
@3 thinking
Three flaws: rows that come twice, dates written D.M.YYYY by older tills, and regions that are empty for orders by phone. Repeated rows have the same order_id and the same total, so one of them can go.
@0.5 TodoWrite
[>] Drop repeated orders
[ ] Rewrite dates as ISO 8601
[ ] Count missing regions
[ ] Write down what was changed
@2 Write clean.py
@1.2 Edit clean.py
for row in csv.reader(sys.stdin):
    if row[0] not in seen:
=======
for row in csv.reader(sys.stdin):
    row[1] = iso(row[1])
    if row[0] not in seen:
@1+2.4 Bash Clean the export :: ./clean.py < /home/user/input/export/orders_2025.csv > orders.csv && wc -l orders.csv
{rows_out} orders.csv
@0.2 system
[metrics] disk 1844 MB\r[metrics] disk 1846 MB
@repeat {checks}
@1.5+0.8 Bash Check batch {n} :: python3 check.py --batch {n}
batch {n}: 40 rows, all dates ISO, no order twice
@again
@1.8 Grep ,, :: orders.csv
Found {missing} lines
orders.csv:118:48131,2025-02-03,,Linen curtain,2,59.95,119.90
@1.5 Write by-region/summary.csv
@1.2 Write cleaning-report.json
@1 TodoWrite
[x] Drop repeated orders
[x] Rewrite dates as ISO 8601
[x] Count missing regions
[x] Write down what was changed
@2 result
The export is clean: {rows_out} orders of {rows_in} rows in `orders.csv`.

| what | rows |
|---|---:|
| repeated orders dropped | {duplicates} |
| dates rewritten from D.M.YYYY | {dates} |
| regions still missing | {missing} |

The numbers are in `cleaning-report.json`, and `clean.py` does it again.
@0.6 system
[sandbox] artifact {artifact} saved as version {version}
[sandbox] exit code 0
