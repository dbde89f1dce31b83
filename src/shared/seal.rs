//! How an object is closed to all who do not have the key.
//!
//! ```text
//! "vm0fs\0s1" │ nonce, 12 bytes │ AES-256-GCM of the deflated content │ tag, 16 bytes
//! ```
//!
//! The object's address is HMAC-SHA256 of its name. Each address has a key of its own,
//! by HKDF-SHA256, so that random nonces meet only among the writers of one object; the
//! seal also binds the address and the first eight bytes, which say the format.

use super::{key::SharedKey, name::Name};
use flate2::{Compression, bufread::DeflateDecoder, write::DeflateEncoder};
use ring::{
    aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey},
    error::Unspecified,
    hkdf::{self, HKDF_SHA256},
    hmac,
    rand::{SecureRandom, SystemRandom},
};
use std::io::{Cursor, Read, Write};

/// The beginning of every object. The last byte is raised with the format.
const MAGIC: &[u8; 8] = b"vm0fs\0s1";
/// Bytes of an object before the sealed ones.
const HEAD: usize = MAGIC.len() + NONCE_LEN;
/// Of the demo's logs and metrics this leaves 9 %; level 9 leaves 2 % less of that, and
/// takes twice as long.
const LEVEL: Compression = Compression::new(6);

/// Bytes that sealing adds to content that does not shrink, at most.
pub(super) const OVERHEAD: u64 = 64 << 10;

/// The hash of a name under the key: where the object is, and what it is bound to.
pub(super) type Address = [u8; 32];

/// Seals and opens objects.
pub(super) struct Sealer {
    root: hkdf::Prk,
    names: hmac::Key,
    random: SystemRandom,
}

impl Sealer {
    pub(super) fn new(key: &SharedKey) -> Result<Self, Unspecified> {
        let root = hkdf::Salt::new(HKDF_SHA256, b"vm0fs shared cache").extract(&key.0);
        let names = root.expand(&[b"names"], hmac::HMAC_SHA256)?.into();
        let random = SystemRandom::new();
        Ok(Self {
            root,
            names,
            random,
        })
    }

    pub(super) fn address(&self, name: &Name) -> Address {
        let mut address = [0; 32];
        address.copy_from_slice(hmac::sign(&self.names, name.bytes()).as_ref());
        address
    }

    /// The key of an address, and what is bound beside the content.
    fn key(&self, address: &Address) -> Result<(LessSafeKey, Aad<Vec<u8>>), Unspecified> {
        let info: [&[u8]; 2] = [b"object", address];
        let key = UnboundKey::from(self.root.expand(&info, &AES_256_GCM)?);
        Ok((
            LessSafeKey::new(key),
            Aad::from([&MAGIC[..], address].concat()),
        ))
    }

    /// The object that holds `content` at an address; `None` where the system has no
    /// random bytes.
    pub(super) fn seal(&self, address: &Address, content: &[u8]) -> Option<Vec<u8>> {
        let mut nonce = [0; NONCE_LEN];
        self.random.fill(&mut nonce).ok()?;
        let mut deflated = DeflateEncoder::new(Vec::new(), LEVEL);
        deflated.write_all(content).ok()?;
        let mut sealed = deflated.finish().ok()?;
        let (key, bound) = self.key(address).ok()?;
        let nonce = Nonce::assume_unique_for_key(nonce);
        let head = [&MAGIC[..], nonce.as_ref()].concat();
        key.seal_in_place_append_tag(nonce, bound, &mut sealed)
            .ok()?;
        Some([head, sealed].concat())
    }

    /// The content of an object that was found at an address; `None` where it has more
    /// than `most` bytes.
    ///
    /// # Errors
    /// What is wrong with the object.
    pub(super) fn open(
        &self,
        address: &Address,
        object: Vec<u8>,
        most: u64,
    ) -> Result<Option<Vec<u8>>, &'static str> {
        let mut content = Vec::new();
        let read = self
            .unseal(address, object)?
            .take(most.saturating_add(1))
            .read_to_end(&mut content);
        match read {
            Ok(length) => Ok((length as u64 <= most).then_some(content)),
            Err(_) => Err("it cannot be decompressed"),
        }
    }

    /// The same, inflated as it is read.
    ///
    /// # Errors
    /// As [`Self::open`].
    pub(super) fn unseal(
        &self,
        address: &Address,
        mut object: Vec<u8>,
    ) -> Result<impl Read + use<>, &'static str> {
        if !object.starts_with(MAGIC) || object.len() < HEAD {
            return Err("it is not of this version's format");
        }
        let (key, bound) = self.key(address).map_err(|_| "its key cannot be derived")?;
        let nonce = Nonce::try_assume_unique_for_key(&object[MAGIC.len()..HEAD]);
        let deflated = nonce.and_then(|nonce| key.open_in_place(nonce, bound, &mut object[HEAD..]));
        let deflated = deflated.map_err(|_| "it was made with another key, or changed")?;
        let end = HEAD + deflated.len();
        object.truncate(end);
        let mut deflated = Cursor::new(object);
        deflated.set_position(HEAD as u64);
        Ok(DeflateDecoder::new(deflated))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sealer(key: u8) -> Sealer {
        Sealer::new(&SharedKey([key; 32])).unwrap()
    }

    #[test]
    fn no_flip_no_cut_no_swap_and_no_other_key_is_taken() {
        let (sealer, content) = (sealer(1), b"rows of a log".repeat(20));
        let here = sealer.address(&Name::new("answer", &["a"]));
        let whole = sealer.seal(&here, &content).unwrap();
        let open = |object: &[u8]| sealer.open(&here, object.to_vec(), 1 << 20);
        assert_eq!(open(&whole).unwrap().unwrap(), content);
        assert!(whole.len() < content.len(), "{}", whole.len());
        let length = content.len() as u64;
        let up_to = |most| sealer.open(&here, whole.clone(), most).unwrap();
        assert!(up_to(length).is_some() && up_to(length - 1).is_none());
        for position in 0..whole.len() {
            let mut flipped = whole.clone();
            flipped[position] ^= 1;
            assert!(open(&flipped).is_err(), "byte {position}");
            assert!(open(&whole[..position]).is_err(), "cut at {position}");
        }
        let there = sealer.address(&Name::new("answer", &["b"]));
        assert!(sealer.open(&there, whole.clone(), 1 << 20).is_err());
        let other = super::tests::sealer(2);
        assert_ne!(here, other.address(&Name::new("answer", &["a"])));
        assert!(other.open(&here, whole, 1 << 20).is_err());
    }

    #[test]
    fn objects_of_earlier_versions_are_read() {
        let (sealer, object) = (sealer(1), include_bytes!("tests/object"));
        let address = sealer.address(&Name::new("answer 1", &["https://api.test", "run x"]));
        assert_eq!(address[..4], [131, 23, 9, 33]);
        let content = sealer.open(&address, object.to_vec(), 100).unwrap();
        assert_eq!(content.unwrap(), b"{\"id\":\"x\"}");
    }

    #[test]
    fn names_are_apart_and_noise_grows_little() {
        let sealer = sealer(1);
        let names = [
            Name::new("a", &["b", "c"]),
            Name::new("a", &["bc"]),
            Name::new("ab", &["c"]),
            Name::new("a", &["b", "c", ""]),
        ];
        let addresses: std::collections::BTreeSet<Address> =
            names.iter().map(|name| sealer.address(name)).collect();
        assert_eq!(addresses.len(), names.len());
        let mut noise = vec![0; 1 << 20];
        sealer.random.fill(&mut noise).unwrap();
        let sealed = sealer.seal(&[0; 32], &noise).unwrap();
        assert!(sealed.len() as u64 <= noise.len() as u64 + OVERHEAD);
    }
}
