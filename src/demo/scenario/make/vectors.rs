//! Vectors of embeddings: large files, generated while they are sent.

use super::dice::Dice;
use crate::demo::archive::File;
use axum::body::Bytes;

/// Bytes of one block of the vectors' file.
const BLOCK: usize = 256 << 10;

/// SHA-256 of the vectors' file with 64 and with 128 dimensions, so that the
/// demo starts without hashing 192 MiB. A test checks them.
const VECTORS_64: &str = "0490eb150135a379edad123ed7801aa4ebb27ee1b454be5ee1f35bc6f8c90bc8";
const VECTORS_128: &str = "7fb67cddd6563c8a176a41cdbc2ec03959e3d4d227b63b03f19543d1ef5f5a1e";

/// A MiB of vectors for each dimension.
pub(super) fn file(path: String, dimensions: u64) -> File {
    let mut dice = Dice::new(dimensions);
    let distinct: Vec<Bytes> = (0..4).map(|_| block(&mut dice)).collect();
    let order = (0..dimensions * 4).map(|_| dice.below(4) as u32).collect();
    let known = match dimensions {
        64 => VECTORS_64,
        _ => VECTORS_128,
    };
    File::blocks(path, distinct, order, from_hex(known))
}

fn block(dice: &mut Dice) -> Bytes {
    let mut block = Vec::with_capacity(BLOCK);
    while block.len() < BLOCK {
        // Between -1 and 1, in steps that a half float would have.
        let value = dice.below(4_096) as f32 / 2_048.0 - 1.0;
        block.extend(value.to_le_bytes());
    }
    block.into()
}

fn from_hex(text: &str) -> Option<[u8; 32]> {
    let mut bytes = [0; 32];
    for (index, byte) in bytes.iter_mut().enumerate() {
        *byte = u8::from_str_radix(text.get(index * 2..index * 2 + 2)?, 16).ok()?;
    }
    Some(bytes)
}
