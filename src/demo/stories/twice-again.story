@0 system
[sandbox] image vm0/claude-code:latest, 2 vCPU, 4096 MB
[sandbox] volume raw-sales mounted at /home/user/input
@0.9 init
@2 text
With the new token I ask the warehouse again.
@0.3 net GET https://warehouse.example.com/api/shipped 200 611
@0.4+2 Bash Ask the warehouse for shipped orders :: curl -sf -H "Authorization: Bearer $WAREHOUSE_TOKEN" https://warehouse.example.com/api/shipped -o shipped.json && jq length shipped.json
1260
@3+2 Bash Orders that were counted twice :: python3 twice.py shipped.json /home/user/input/export/orders_2025.csv
48001 48117 48240 … 105 orders
@2 result
105 orders were counted twice: they are in the export two times and were shipped once. All have the same total both times, so none was a second order of the same customer.
@0.5 system
[sandbox] no artifact to save
[sandbox] exit code 0
