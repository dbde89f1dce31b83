@0.8 Bash! Work through it :: python3 work.py --all
Exit code 1
Traceback (most recent call last):
  File "/home/user/workspace/work.py", line 12, in <module>
    main()
ValueError: the input has no rows
@0.8 result! error_during_execution
Claude Code process exited with code 1
@0.8 system
\e[31m[sandbox] agent exited with code 1\e[0m
