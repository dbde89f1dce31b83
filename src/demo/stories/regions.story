@0 system
[sandbox] image vm0/claude-code:latest, 2 vCPU, 4096 MB
[sandbox] volume raw-sales mounted at /home/user/input
@0.9 init crm
@2.5 text
The postcodes are in the customer table, so I ask the CRM for those orders whose region is empty.
@0.3+1.6 mcp__crm__postcodes {"orders": ["48131", "48207", "48315"]}
{"48131": "20095", "48207": "80331", "48315": "50667"}
@0.3 net GET https://crm.example.com/api/orders?missing=region 200 433
@1.2 Read input/export/regions.csv
@3 thinking
20095 is Hamburg: North. 80331 is München: South. 50667 is Köln: West. The first digit decides in nearly all cases.
@repeat 9
@1.5+0.9 mcp__crm__postcodes {"batch": {n}}
batch {n}: 4 orders, postcodes for 4
@again
@1 mcp__crm__postcodes! {"batch": 10}
MCP error -32001: Request timed out
@1.2 text
The CRM timed out on the last batch. Once more, with a smaller one.
@0.4+1.2 mcp__crm__postcodes {"batch": 10, "size": 2}
batch 10: 2 orders, postcodes for 2
@1+1.4 Bash Fill in the regions :: python3 fill.py orders.csv postcodes.json
filled 32 regions, 0 left
@1 Write orders.csv
@0.8 Write by-region/summary.csv
@1 Write cleaning-report.json
@2 result
All 32 missing regions are filled in from the customers' postcodes; none is left. The sums by region are in `by-region/summary.csv`.
@0.6 system
[sandbox] artifact {artifact} saved as version {version}
[sandbox] exit code 0
