@repeat {turns}
@0.5+0.5 mcp__shop__next_order {"after": {before}{nnn}}
{"order": {before}{nnn}, "total_eur": {roll}.50, "paid": true, "postcode": "20095", "city": "Hamburg"}
@0.3 net GET https://shop.example.com/api/orders?after={before}{nnn} 200 {roll}
@1 text
Order {before}{nnn}: paid, in stock, leaves with today's parcels.
@again
