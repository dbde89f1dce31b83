@1+1 mcp__shop__next_order {"after": {before}}
{"order": {order}, "total_eur": {total}.50, "paid": true, "postcode": "{postcode}"}
@1 net GET https://shop.example.com/api/orders?after={before} 200 {duration}
@1 text
Order {order}: {finding}
