@0 system
[sandbox] image vm0/claude-code:latest
@0.3 vm0_start
@0.5 init
@2 Bash Do the notes differ in style? :: ls releases
ls: cannot access 'releases': No such file or directory
@1.5 result
There is nothing to bring in line: the artifact that I was given has no notes yet. I have stored it as it was, empty.
@0.5 vm0_result
