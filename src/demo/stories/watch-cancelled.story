@1 system
[sandbox] run cancelled by ada@example.com
[sandbox] agent stopped (SIGTERM)
