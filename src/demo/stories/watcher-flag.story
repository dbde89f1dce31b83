@1+1 mcp__shop__next_order {"after": {before}}
{"order": {order}, "total_eur": {total}.50, "paid": true, "postcode": "{postcode}"}
@1 thinking
{postcode} is not in the town that the customer gave. I look it up before I flag it.
@1+1 Grep {postcode} :: input/postcodes/de.txt
No matches found
@1+1 mcp__shop__flag {"order": {order}, "reason": "postcode_mismatch"}
flagged
@1 system
[watch] {order} orders checked\r[watch] queue is short
@1 text
Order {order}: address and postcode do not agree, flagged. Somebody should call the customer.
