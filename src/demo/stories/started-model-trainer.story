%codex
@0 system
[sandbox] image vm0/codex:latest, 8 vCPU, 4096 MB
[sandbox] volume training-corpus mounted at /home/user/input
@0.5 init
@0.3 net POST https://api.openai.com/v1/responses 200 1410
@0.8 thinking
**Looking at the task**

{prompt}
@0.4 text
I look at the corpus, then train in small steps.
@0.3 TodoWrite
[ ] Look at the corpus
[ ] Train
[ ] Validate
@0.4+0.4 Bash head -n 2 /home/user/input/texts/part-0000.jsonl
<head 2 input/texts/part-0000.jsonl>
@0.4 Write train.py
@repeat 3
@0.4+1.6 long python train.py --part {n}
step {n}00  loss 2.31
step {n}50  loss 1.87
step {n}99  loss 1.42
@0.2 system
\rstep {n}00\rstep {n}50\rstep {n}99
@again
@0.4 mcp tracker.log :: {"step": 399, "loss": 1.42}
ok
@0.3 TodoWrite
[x] Look at the corpus
[x] Train
[ ] Validate
@0.4+0.8 Bash python validate.py
recall@10 0.71
@0.4 Write RESULT.md
@0.3 TodoWrite
[x] Look at the corpus
[x] Train
[x] Validate
@0.6 result
Trained in 400 steps: the loss fell from 2.31 to 1.42, and recall@10 on the held-out texts is 0.71.
