@0 system
[sandbox] image vm0/claude-code:latest, 2 vCPU, 4096 MB
[sandbox] volume shop-config mounted at /home/user/input
@0.9 init shop
@1.5 text
I read the limits first, then go through the orders as they come.
@0.3 Read input/limits.yaml
@0.5 Read input/carriers.json
