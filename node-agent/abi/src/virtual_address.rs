//! The ranges that name-bound virtual addresses are taken from. Nothing real is reached under them:
//! every connection to one is carried by the broker, or refused.

/// IPv4: the second half of 198.18.0.0/15, set aside for benchmarks (RFC 2544, RFC 6890).
pub const V4_PREFIX: [u8; 2] = [198, 19];

/// IPv6: the unique local prefix `fd6c:616e:7961:7264::/64` (RFC 4193).
pub const V6_PREFIX: [u8; 8] = [0xfd, 0x6c, 0x61, 0x6e, 0x79, 0x61, 0x72, 0x64];

/// Whether `address` (IPv4 as `::ffff:a.b.c.d`) is in one of the ranges.
#[inline(always)]
#[expect(
    clippy::inline_always,
    reason = "a call of its own costs the kernel's verifier more than it saves"
)]
pub fn is_virtual(address: &[u8; 16]) -> bool {
    let mapped = address[..10] == [0; 10] && address[10] == 0xff && address[11] == 0xff;
    (mapped && address[12] == V4_PREFIX[0] && address[13] == V4_PREFIX[1])
        || address[..8] == V6_PREFIX
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_two_ranges_are_virtual() {
        let mapped = |a, b| [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, a, b, 0, 1];
        assert!(is_virtual(&mapped(198, 19)));
        assert!(!is_virtual(&mapped(198, 18)));
        assert!(!is_virtual(&mapped(127, 0)));
        let mut v6 = [0; 16];
        v6[..8].copy_from_slice(&V6_PREFIX);
        assert!(is_virtual(&v6));
        v6[7] = 0;
        assert!(!is_virtual(&v6));
    }
}
