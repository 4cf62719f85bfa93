//! Which shard a document lives on.

/// The shard of the document with this global id, among `shards` shards.
///
/// The hash is the same in every process and every version, and each shard is as likely as any other. Nothing
/// stored depends on it: the number of shards can change between starts.
pub fn shard_of(document: &str, shards: usize) -> usize {
    // FNV-1a, 64 bits, then a multiplicative spread of its upper half.
    let mut hash = 0xcbf2_9ce4_8422_2325_u64;
    for byte in document.bytes() {
        hash = (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
    }
    let hash = hash ^ (hash >> 32);
    let hash = hash.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 32;
    ((hash * shards as u64) >> 32) as usize
}

/// The handle of the `number`th document that the shard `index` of `shards` has opened, counted from 1.
pub fn handle_of(number: u64, index: usize, shards: usize) -> u64 {
    number * shards as u64 + index as u64
}

/// The shard that gave a handle.
pub fn shard_of_handle(handle: u64, shards: usize) -> usize {
    usize::try_from(handle % shards as u64).expect("below the number of shards")
}

#[cfg(test)]
mod tests {
    use super::shard_of;

    #[test]
    fn documents_spread_evenly() {
        let mut counts = [0_usize; 3];
        for number in 0..30_000 {
            counts[shard_of(&format!("document-{number}"), 3)] += 1;
        }
        for count in counts {
            assert!((9_500..10_500).contains(&count), "{counts:?}");
        }
    }

    #[test]
    fn places_do_not_change_between_versions() {
        assert_eq!(shard_of("invoice-42", 1), 0);
        let places = ["", "a", "invoice-42", "acme::invoice-42"];
        assert_eq!(
            places.map(|document| shard_of(document, 1000)),
            [521, 510, 999, 79]
        );
    }
}
