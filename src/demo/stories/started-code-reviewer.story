@0 system
[sandbox] image vm0/claude-code:latest, 2 vCPU, 4096 MB
[sandbox] volume payments-service mounted at /home/user/input
@0.4 init github
@0.3 net POST https://api.anthropic.com/v1/messages 200 1620
@1 thinking
A review of what is open: {prompt}. The money is in refund.py and ledger.py; the tests say whether it works.
@0.4 text
I read the code that moves money first, then run the tests.
@0.3 Read input/README.md
@0.5 Read input/payments/refund.py
@0.4 Grep partial\( :: input/payments
/home/user/input/payments/refund.py:6:def partial(amount: float, share: float) -> float:
@0.6 TodoWrite
[x] Read the code
[>] Run the tests
[ ] Check who calls partial()
[ ] Write the review
@0.4+1.4 Bash! Run the tests :: ./scripts/test
Exit code 1
\e[32m..................\e[0m\e[31mF\e[0m
\e[31m\e[1m1 failed\e[0m, \e[32m41 passed\e[0m in 0.63s
FAILED tests/test_idempotency.py::test_after_a_restart
@0.2 system
collected 1\rcollected 21\rcollected 42
@0.6 task Explore :: Who calls partial()?
Find every caller of payments.refund.partial in /home/user/input and say which types they pass.
@0.5 Read input/tests/test_refund.py
@0.5 return
Only `tests/test_refund.py` calls `partial`, with floats.
@0.5 Read input/payments/idempotency.py
@0.6 partial
One test fails
@0.5 Write RESULT.md
@0.6 TodoWrite
[x] Read the code
[x] Run the tests
[x] Check who calls partial()
[x] Write the review
@0.8 result
**One question before this can go in.** The rounding of refunds is right: `partial` computes in `Decimal` and rounds half up.

- `payments/idempotency.py`: `seen` lives as long as the process, so after a restart the same key acts again. `test_after_a_restart` fails because of it. Keep the keys where the ledger is.
- `partial` takes floats, and only the tests call it. Integers of cents would be safer.

41 tests pass, one fails.
