//! Numbers of the seek index in seven bits a byte, the lowest first (LEB128).

/// Maximum number of bytes of one.
const LONGEST: usize = 10;

/// Appends a number.
pub(in crate::store) fn put(to: &mut Vec<u8>, mut number: u64) {
    while number >= 0x80 {
        to.push(number as u8 | 0x80);
        number >>= 7;
    }
    to.push(number as u8);
}

/// Takes a number from the front of bytes that have not been checked.
pub(in crate::store) fn take(from: &mut &[u8]) -> Option<u64> {
    let mut number = 0;
    for (at, byte) in from.iter().take(LONGEST).enumerate() {
        let bits = u64::from(byte & 0x7f);
        if at == LONGEST - 1 && bits > 1 {
            return None;
        }
        number |= bits << (7 * at);
        if byte & 0x80 == 0 {
            *from = &from[at + 1..];
            return Some(number);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_comes_back() {
        let numbers = (0..64).flat_map(|bit| [(1 << bit) - 1, 1 << bit]);
        for number in numbers.chain([u64::MAX]) {
            let mut bytes = Vec::new();
            put(&mut bytes, number);
            let mut rest = &bytes[..];
            assert_eq!((take(&mut rest), rest.len()), (Some(number), 0));
            assert_eq!(
                take(&mut &bytes[..bytes.len() - 1]),
                None,
                "{number} is cut"
            );
        }
        assert_eq!(take(&mut &[0xff; 10][..]), None, "more than 64 bits");
        assert_eq!(take(&mut &[0x80; 11][..]), None, "no end");
    }
}
