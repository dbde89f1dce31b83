//! How a deflate stream is entered at a block that begins inside a byte.
//!
//! zlib-rs begins at whole bytes. So what it gets first is an empty block of as many
//! bits as bring it to the right one.

/// The first bytes for an inflater: blocks without content, and the `bits` highest bits
/// of `first`, which belong to the block to be entered. For 0 bits, none: the block
/// begins with the byte after `first`.
pub(super) fn lead_in(bits: u8, first: u8) -> Vec<u8> {
    if bits == 0 {
        return Vec::new();
    }
    // Bits of the last byte that are to be filled.
    let filled = u32::from(8 - bits);
    let odd = filled % 2;
    // So long is the block without the zeros that follow.
    let zeros = (filled + 8 - (92 + 3 * odd) % 8) % 8 / 2;
    let (mut block, mut length) = (0_u128, 0);
    let mut put = |value: u32, count: u32| {
        block |= u128::from(value) << length;
        length += count;
    };
    // Not the last block, dynamic codes; 257 literals, one distance, and 18 or 19 codes
    // of lengths (RFC 1951, 3.2.7).
    put(0b100, 3);
    put(0, 10);
    put(14 + odd, 4);
    // Their lengths, in the order 16, 17, 18, 0, 8 … 14, 1, 15: the code 0 stands for 18
    // (repeated zeros), 10 for 0, 11 for 1.
    put(0, 6);
    put(1, 3);
    put(2, 3);
    put(0, 13 * 3);
    put(2, 3);
    put(0, 3 * odd);
    // Lengths of the codes of 256 literals: 138 zeros, then so many that some are left
    // to be written one by one, in two bits each.
    put(0, 1);
    put(138 - 11, 7);
    put(0, 1);
    put(118 - zeros - 11, 7);
    for _ in 0..zeros {
        put(0b01, 2);
    }
    // One of 1 bit for the end of the block, none for the distance, and that end.
    put(0b11, 2);
    put(0b01, 2);
    put(0, 1);
    let mut bytes = block.to_le_bytes()[..length.div_ceil(8) as usize].to_vec();
    if let Some(last) = bytes.last_mut() {
        *last |= first & !0 << filled;
    }
    bytes
}
