@0 system
[sandbox] image vm0/claude-code:latest, 2 vCPU, 4096 MB
[sandbox] volume market-data mounted at /home/user/input
@0.4 init
@0.3 net POST https://api.anthropic.com/v1/messages 200 1620
@1 thinking
The question is: {prompt}. The figures are in prices.csv, and sources.json says how far each can be trusted.
@0.4 text
I look at the figures, and at how far each source can be trusted.
@0.3 Read input/README.md
@0.4 Read input/sources.json
@0.5 Read input/charts/units.png
@0.4 Bash The newest rows :: head -n 6 /home/user/input/prices.csv
<head 6 input/prices.csv>
@0.5+1.1 WebSearch furniture association monthly bulletin units by segment
Web search results for query: "furniture association monthly bulletin units by segment"

Links: [{"title":"Monthly bulletin","url":"https://www.furniture-association.example/bulletin"}]
@0.3 net GET https://www.furniture-association.example/bulletin 200 612
@0.4+1 WebFetch https://www.furniture-association.example/bulletin :: Units by segment, and what is an estimate
The bulletin gives units by segment. Figures of the last two weeks are marked as preliminary.
@0.6 task Explore :: Check sources
Where do the sources disagree by more than 5 %? One sentence.
@0.5 Grep confidence :: input/sources.json
Found 3 lines
@0.5 return
Nowhere: the association and our own orders agree within 3 %.
@0.6 Write RESULT.md
@0.8 result
Lighting is what moves: it grew in each of the last weeks, most of it online, while desks and textiles hold their share.

- Sources: the association's bulletin and our own orders, which agree within 3 %; the household panel is six weeks behind and was left out.
- The last two weeks are preliminary.
