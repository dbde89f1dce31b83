@0 system
[sandbox] image vm0/claude-code:latest, 2 vCPU, 4096 MB
[sandbox] volume market-data mounted at /home/user/input
@0.9 init
@3 thinking
A forecast for the first quarter needs a seasonal model. statsmodels has one; let me see whether it is installed.
@0.6 Read input/README.md
@2 Bash! Is statsmodels there? :: python3 -c 'import statsmodels; print(statsmodels.__version__)'
Exit code 1
Traceback (most recent call last):
  File "<string>", line 1, in <module>
ModuleNotFoundError: No module named 'statsmodels'
@0.3 net GET https://packages.example.com/simple/statsmodels/ 403 41
@0.5+6 Bash! Install it :: pip install statsmodels
Exit code 1
ERROR: Could not find a version that satisfies the requirement statsmodels (from versions: none)
ERROR: No matching distribution found for statsmodels
@2 text
The package index refuses statsmodels (403), and without it there is no seasonal model. I could fit a straight line, but that would be misleading for chairs, which peak in spring.
@1 result! error_during_execution
Claude Code process exited with code 1
@0.4 system
\e[31m[sandbox] agent exited with code 1\e[0m
[sandbox] no artifact to save
