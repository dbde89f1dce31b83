@0 system
[sandbox] image vm0/claude-code:latest, 2 vCPU, 4096 MB
[sandbox] volume raw-sales mounted at /home/user/input
@0.4 init
@0.3 net POST https://api.anthropic.com/v1/messages 200 1620
@1 text
I read the schema first, so that I know what clean means here.
@0.3 Read input/SCHEMA.txt
@0.5 Read input/export/regions.csv
@0.4 Bash First rows of the export :: head -n 8 /home/user/input/export/orders_2025.csv
<head 8 input/export/orders_2025.csv>
@0.6 thinking
Rows that come twice, dates of older tills, empty regions: the usual three.
@0.4 TodoWrite
[>] Drop repeated orders
[ ] Rewrite dates as ISO 8601
[ ] Count missing regions
@0.5+1.2 Bash Clean the export :: python3 clean.py < /home/user/input/export/orders_2025.csv > orders.csv
read 400\rread 800\rread 1200\r\e[32mdone\e[0m
@0.3 system
[metrics] disk 1844 MB\r[metrics] disk 1846 MB
@0.5 Grep ,, :: orders.csv
Found 31 lines
@0.4 Bash! Upload the table :: curl -sf -T orders.csv https://warehouse.example.com/upload
Exit code 22
curl: (22) The requested URL returned error: 403
@0.2 net PUT https://warehouse.example.com/upload 403 61
@0.5 text
The warehouse takes no uploads from here; the table stays in the artifact.
@0.4 Write RESULT.md
@0.5 TodoWrite
[x] Drop repeated orders
[x] Rewrite dates as ISO 8601
[x] Count missing regions
@0.8 result
The export is clean: repeated orders are dropped, dates are ISO 8601, and 31 orders are still without a region. I could not upload the table to the warehouse (403).
