//! XXH64: the checksum of messages and of durable state.
//!
//! It finds torn files and damaged messages; it does not protect against an attacker, who can compute it.
//! Fast on short inputs and on long ones, with no tables, which keeps the WebAssembly module small.
//!
//! Source: Y. Collet, "xxHash fast digest algorithm", specification 0.1.1, section XXH64.

const PRIMES: [u64; 5] = [
    0x9E37_79B1_85EB_CA87,
    0xC2B2_AE3D_27D4_EB4F,
    0x1656_67B1_9E37_79F9,
    0x85EB_CA77_C2B2_AE63,
    0x27D4_EB2F_1656_67C5,
];

/// The checksum of `bytes`, with seed 0.
pub(super) fn xxh64(bytes: &[u8]) -> u64 {
    let mut rest = bytes;
    let mut hash = if bytes.len() < 32 { PRIMES[4] } else { mix_stripes(&mut rest) };
    hash = hash.wrapping_add(bytes.len() as u64);
    while let Some((word, after)) = rest.split_first_chunk::<8>() {
        hash ^= round(0, u64::from_le_bytes(*word));
        hash = hash.rotate_left(27).wrapping_mul(PRIMES[0]).wrapping_add(PRIMES[3]);
        rest = after;
    }
    if let Some((half, after)) = rest.split_first_chunk::<4>() {
        hash ^= u64::from(u32::from_le_bytes(*half)).wrapping_mul(PRIMES[0]);
        hash = hash.rotate_left(23).wrapping_mul(PRIMES[1]).wrapping_add(PRIMES[2]);
        rest = after;
    }
    for byte in rest {
        hash ^= u64::from(*byte).wrapping_mul(PRIMES[4]);
        hash = hash.rotate_left(11).wrapping_mul(PRIMES[0]);
    }
    hash = (hash ^ (hash >> 33)).wrapping_mul(PRIMES[1]);
    hash = (hash ^ (hash >> 29)).wrapping_mul(PRIMES[2]);
    hash ^ (hash >> 32)
}

/// The four lanes over all whole stripes of 32 bytes, merged into one. Leaves the rest.
fn mix_stripes(bytes: &mut &[u8]) -> u64 {
    let mut lanes = [PRIMES[0].wrapping_add(PRIMES[1]), PRIMES[1], 0, 0_u64.wrapping_sub(PRIMES[0])];
    while let Some((stripe, rest)) = bytes.split_first_chunk::<32>() {
        for (at, lane) in lanes.iter_mut().enumerate() {
            let word = ::core::array::from_fn(|byte| stripe[8 * at + byte]);
            *lane = round(*lane, u64::from_le_bytes(word));
        }
        *bytes = rest;
    }
    let turned = lanes.iter().zip([1, 7, 12, 18]).map(|(lane, by)| lane.rotate_left(by));
    let sum = turned.fold(0_u64, u64::wrapping_add);
    lanes
        .iter()
        .fold(sum, |hash, lane| (hash ^ round(0, *lane)).wrapping_mul(PRIMES[0]).wrapping_add(PRIMES[3]))
}

fn round(lane: u64, word: u64) -> u64 {
    lane.wrapping_add(word.wrapping_mul(PRIMES[1])).rotate_left(31).wrapping_mul(PRIMES[0])
}

#[cfg(test)]
mod tests {
    use super::xxh64;
    use alloc::vec::Vec;

    /// Values of the reference implementation, one for each way through: no bytes, single bytes, a word of 4,
    /// one of 8, a stripe, and more.
    #[test]
    fn the_published_values_come_out() {
        assert_eq!(xxh64(b""), 0xEF46_DB37_51D8_E999);
        assert_eq!(xxh64(b"abc"), 0x44BC_2CF5_AD77_0999);
        assert_eq!(xxh64(b"Nobody inspects the spammish repetition"), 0xFBCE_A83C_8A37_8BF1);
        for length in 0..200 {
            let bytes: Vec<u8> = (0..length).map(|n| (n * 7) as u8).collect();
            assert_eq!(xxh64(&bytes), xxhash_rust::xxh64::xxh64(&bytes, 0), "{length}");
        }
    }
}
