@0 system
[sandbox] image vm0/claude-code:latest, 2 vCPU, 4096 MB
[sandbox] volume payments-service mounted at /home/user/input
@0.9 init github
@0.3 net POST https://api.anthropic.com/v1/messages 200 1921
@3 thinking
A review. First what the service does, then the money: refund.py and ledger.py. Then the tests, run and read.
@0.5 text
I read the README and the code that moves money, then run the tests.
@0.3 Read input/README.md
@0.5 Read input/payments/refund.py
@0.6 Read input/payments/ledger.py
@0.4 Grep partial\( :: input/payments
/home/user/input/payments/refund.py:6:def partial(amount: float, share: float) -> float:
@1 TodoWrite
[x] Read refund.py and ledger.py
[>] Run the tests
[ ] Check who calls partial()
[ ] Write the notes
@1+6 Bash{tests} Run the tests :: ./scripts/test
{outcome}
@0.2 system
\e[32m.......\e[0m\e[31m{mark}\e[0m\e[32m......\e[0m [100%]
collected 1\rcollected 7\rcollected 14
@2 task Explore :: Who calls partial()?
Find every caller of payments.refund.partial in /home/user/input and say which types they pass.
@1 Grep refund import :: input/
/home/user/input/tests/test_refund.py:1:from payments.refund import partial
@0.8 Read input/tests/test_refund.py
@1.5 text
Only the tests call it, with floats.
@0.3 return
Only `tests/test_refund.py` calls `partial`, with floats.
@repeat {checks}
@1.6 text
Reading payments/refund.py again, pass {n}.
@0.4+1.3 Bash Try value {n} :: python3 -c 'from payments.refund import partial; print(partial({roll} / 100, 0.5))'
{roll}
@again
@1.5 mcp__github__list_pull_requests {"repo": "acme/payments-service", "state": "open"}
[{"number": 118, "title": "Round refunds half up"}]
@1 Edit! input/payments/refund.py
    return round(amount * share, 2)
=======
    cents = int(amount * 100 * share)
    return cents / 100
@0.8 text
The volume is read-only, which is right for a review: I put the change into a patch instead.
@0.6 Write {note}
@1 Write test-results.xml
@1 TodoWrite
[x] Read refund.py and ledger.py
[x] Run the tests
[x] Check who calls partial()
[x] Write the notes
@2 result
{verdict}

Notes are in `{note}`, the tests' results in `test-results.xml`.
@0.6 system
[sandbox] artifact {artifact} saved as version {version}
[sandbox] exit code 0
