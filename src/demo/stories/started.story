@0 system
[sandbox] image vm0/claude-code:latest, 2 vCPU, 4096 MB
[sandbox] working directory /home/user/workspace
@0.4 init
@0.3 net POST https://api.anthropic.com/v1/messages 200 1620
@1 thinking
I was asked: {prompt}
@0.4 text
I look at what is there, then do it step by step.
@0.3+0.5 Bash What is there :: ls -la /home/user/input /home/user/workspace
{listing}
@0.8 TodoWrite
[>] Read the input
[ ] Do what was asked
[ ] Check the result
[ ] Write it down
@0.7 Read {first}
@0.2 system
\r[metrics] cpu 18%\r[metrics] cpu 42%\r[metrics] cpu 27%
@1.2 text
That is clear. Now the work itself.
@0.3+1 Bash Work through it :: python3 work.py --all
1 of 3\r2 of 3\r3 of 3
\e[32mdone\e[0m
@0.4 net GET https://packages.example.com/simple/pandas/ 200 140
@0.6 task Explore :: Check the result
Check the result against what was asked. Answer in one sentence.
@0.6 Grep TODO :: /home/user/workspace
No matches found
@0.5 return
Nothing is left to do, and the figures add up.
@0.6 partial
The result
@0.5 Write RESULT.md
@0.6 TodoWrite
[x] Read the input
[x] Do what was asked
[x] Check the result
[x] Write it down
@0.8 result
Done: the result is in `RESULT.md`. I checked it against what you asked for; nothing is left open.
