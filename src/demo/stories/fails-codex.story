@0.6+0.8 Bash! python validate.py
Traceback (most recent call last):
  File "validate.py", line 12, in <module>
    main()
ValueError: the corpus has no rows
@0.6 result!
Codex process exited with code 1
@0.3 system
\e[31m[sandbox] agent exited with code 1\e[0m
