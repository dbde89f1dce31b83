@0 system
[sandbox] image vm0/claude-code:latest
@0.3 vm0_start
@0.5 init
@2 text
I look at what has changed since the last release.
@0.3+0.8 Bash Changes since the last tag :: git log --oneline --no-merges HEAD...v1.0.0
{changes}
@1.5 Write releases/v{release}.md
@1 Write CHANGELOG.md
@1.5 result
The notes for {release} are in `releases/v{release}.md`, and at the top of `CHANGELOG.md`.
@0.5 vm0_result
@0.3 system
[sandbox] artifact {artifact} saved as version {version}
