@0 system
[sandbox] image vm0/claude-code:latest, 2 vCPU, 4096 MB
[sandbox] volume market-data mounted at /home/user/input
@0.9 init
@3 thinking
The seasonal model again. Is statsmodels there this time?
@1 Bash Is statsmodels there? :: python3 -c 'import statsmodels; print(statsmodels.__version__)'
0.14.4
@1.5 text
It is. I fit the model on weeks 31 to 42 first, to see how well it would have foretold them.
@0.5 net POST https://api.anthropic.com/v1/messages 200 2411
@30 system
[sandbox] run cancelled by ada@example.com
[sandbox] agent stopped (SIGTERM)
