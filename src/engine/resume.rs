//! Resume tokens: where a client that catches up has come to, in a form that nobody else can make.
//!
//! A token is good for one life of one document, in one epoch, on any connection, before and after a restart: it holds its
//! place itself, under a keyed hash.

use bytes::{Buf, BufMut, Bytes};

use super::refusal::Refusal;

const HASH_BYTES: usize = 16;
const PLACE_BYTES: usize = 8 + 1 + 8 + 8;

/// What follows for whoever resumes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Place {
    /// Operations from this revision on.
    Operations { next_revision: u64 },
    /// The snapshot of this revision from this offset on.
    Snapshot { revision: u64, offset: u64 },
}

/// What tokens of one document are made with.
#[derive(Clone, Copy)]
pub struct Sealer<'a> {
    pub key: &'a [u8; 32],
    /// The document's global id.
    pub document: &'a str,
    /// After which revision its life began.
    pub origin_revision: u64,
    pub epoch: u64,
}

impl Sealer<'_> {
    pub fn seal(&self, place: Place) -> Bytes {
        let mut token = Vec::with_capacity(PLACE_BYTES + HASH_BYTES);
        token.put_u64(self.epoch);
        let (kind, first, second) = match place {
            Place::Operations { next_revision } => (0, next_revision, 0),
            Place::Snapshot { revision, offset } => (1, revision, offset),
        };
        token.put_u8(kind);
        token.put_u64(first);
        token.put_u64(second);
        let hash = self.hash(&token);
        token.put_slice(&hash);
        token.into()
    }

    /// # Errors
    ///
    /// [`Refusal::ResumeTokenInvalid`] if it was not made like this, for another document or another life of it, or in another epoch.
    pub fn open(&self, token: &[u8]) -> Result<Place, Refusal> {
        let (mut place, hash) = token
            .split_at_checked(PLACE_BYTES)
            .ok_or(Refusal::ResumeTokenInvalid)?;
        let expected = self.hash(place);
        if hash != expected || place.get_u64() != self.epoch {
            return Err(Refusal::ResumeTokenInvalid);
        }
        let (kind, first, second) = (place.get_u8(), place.get_u64(), place.get_u64());
        match kind {
            0 => Ok(Place::Operations {
                next_revision: first,
            }),
            1 => Ok(Place::Snapshot {
                revision: first,
                offset: second,
            }),
            _unknown => Err(Refusal::ResumeTokenInvalid),
        }
    }

    fn hash(&self, place: &[u8]) -> [u8; HASH_BYTES] {
        let mut hasher = blake3::Hasher::new_keyed(self.key);
        hasher.update(b"resume");
        hasher.update(&(self.document.len() as u64).to_le_bytes());
        hasher.update(self.document.as_bytes());
        hasher.update(&self.origin_revision.to_le_bytes());
        hasher.update(place);
        let hash = hasher.finalize();
        *hash.as_bytes().first_chunk().expect("a hash has 32 bytes")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_good_for_what_it_was_made_for_and_nothing_else() {
        let key = [7; 32];
        let sealer = Sealer {
            key: &key,
            document: "acme::notes",
            origin_revision: 5,
            epoch: 3,
        };
        for place in [
            Place::Operations { next_revision: 12 },
            Place::Snapshot {
                revision: 9,
                offset: 1 << 40,
            },
        ] {
            let token = sealer.seal(place);
            assert_eq!(sealer.open(&token), Ok(place));
            for index in 0..token.len() {
                let mut changed = token.to_vec();
                changed[index] ^= 1;
                assert_eq!(sealer.open(&changed), Err(Refusal::ResumeTokenInvalid));
                assert_eq!(
                    sealer.open(&token[..index]),
                    Err(Refusal::ResumeTokenInvalid)
                );
            }
            let others = [
                Sealer {
                    document: "acme::note",
                    ..sealer
                },
                Sealer {
                    origin_revision: 6,
                    ..sealer
                },
                Sealer { epoch: 4, ..sealer },
                Sealer {
                    key: &[8; 32],
                    ..sealer
                },
            ];
            for other in others {
                assert_eq!(other.open(&token), Err(Refusal::ResumeTokenInvalid));
            }
        }
    }
}
