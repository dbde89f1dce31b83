@0 system
[sandbox] image vm0/claude-code:latest, 2 vCPU, 4096 MB
[sandbox] volume payments-service mounted at /home/user/input
@0.9 init
@1+9 Bash! Run the tests :: ./scripts/test
Exit code 1
\e[31mE   ModuleNotFoundError: No module named 'pydantic'\e[0m
\e[31m\e[1m1 error\e[0m in 0.31s
@0.4 net GET https://packages.example.com/simple/pydantic/ 503 2001
@0.5+8 Bash! Install what is missing :: pip install pydantic
Exit code 1
ERROR: HTTP error 503 while getting https://packages.example.com/simple/pydantic/
@1.5 result! error_during_execution
Claude Code process exited with code 1
@0.4 system
\e[31m[sandbox] agent exited with code 1\e[0m
