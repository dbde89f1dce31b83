@0 system
[sandbox] image vm0/claude-code:latest, 2 vCPU, 4096 MB
[sandbox] volume site-content mounted at /home/user/input
@0.9 init
@2 text
I look for the German content first.
@0.3 Glob content/de/**
No files found
@1.2 Read! input/content/de/index.md
File does not exist.
@2+3 Bash! Build the German site :: ./build.sh --lang de
Exit code 1
build.mjs: content/de is empty
    at load (tools/build.mjs:41:11)
    at main (tools/build.mjs:12:3)
@1.5 text
There are no German pages in the volume, and I must not translate them on my own: the glossary has terms that need a decision.
@1 result!
Agent exited with code 1

build.mjs: content/de is empty
    at load (tools/build.mjs:41:11)
    at main (tools/build.mjs:12:3)
@0.4 system
\e[31mbuild.mjs: content/de is empty\e[0m
    at load (tools/build.mjs:41:11)
    at main (tools/build.mjs:12:3)
[sandbox] agent exited with code 1
