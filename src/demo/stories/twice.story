@0 system
[sandbox] image vm0/claude-code:latest, 2 vCPU, 4096 MB
[sandbox] volume raw-sales mounted at /home/user/input
@0.9 init
@2 text
The warehouse knows which orders were really shipped, so I compare with it.
@0.3 net GET https://warehouse.example.com/api/shipped 401 88
@0.4+1 Bash! Ask the warehouse for shipped orders :: curl -sf -H "Authorization: Bearer $WAREHOUSE_TOKEN" https://warehouse.example.com/api/shipped
Exit code 22
curl: (22) The requested URL returned error: 401
@2 result!
{error}
@0.5 system
\e[31m[sandbox] agent exited with code 1\e[0m
