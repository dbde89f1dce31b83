@0 system
[sandbox] image vm0/claude-code:latest, 2 vCPU, 4096 MB
[sandbox] volume site-content mounted at /home/user/input
@0.9 init
@1.5 Bash Sizes of the images :: ls -l /home/user/input/images
-rw-r--r-- 1 user user 1289 logo.png
@8 system
[sandbox] run cancelled by ada@example.com
[sandbox] agent stopped (SIGTERM)
