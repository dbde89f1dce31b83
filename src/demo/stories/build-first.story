@0 system
[sandbox] image vm0/claude-code:latest, 2 vCPU, 4096 MB
[sandbox] volume site-content mounted at /home/user/input
[sandbox] volume brand-assets mounted at /home/user/assets
@0.9 init
@2 text
I look at the content first, then build.
@0.3 Read input/site.json
@0.8 Read input/build.sh
@0.4 net GET https://packages.example.com/npm/marked 200 97
@1+7 Bash Build all pages :: ./build.sh --out /home/user/workspace
\e[32m✓\e[0m getting-started
\e[32m✓\e[0m installation
\e[1m{pages} files\e[0m written in 3.1 s
@repeat 4
@1.1+0.6 Bash Render page {n} :: node tools/render.mjs --page {n}
page {n}: 0 errors, {roll} bytes
@again
@1 Write index.html
@1.3 Glob **/01.html
/home/user/workspace/getting-started/01.html
/home/user/workspace/installation/01.html
/home/user/workspace/glossary/01.html
@2 result
The site is built: {pages} files, start at `index.html`. Every topic has its first page at `<topic>/01.html`.
@0.6 system
[sandbox] artifact {artifact} saved as version {version}
[sandbox] exit code 0
