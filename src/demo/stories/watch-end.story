@1 Write alerts.jsonl
@1 Write handover.md
@1.5 result
The week is over: 120 orders are flagged in `alerts.jsonl`, each with its reason, and `handover.md` says what to do with them. Most are postcode mismatches, which are typing errors as a rule: call, do not cancel.
@0.6 system
[sandbox] artifact {artifact} saved as version {version}
[sandbox] exit code 0
