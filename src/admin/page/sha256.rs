//! SHA-256 (FIPS 180-4) and Base64 at compile time: the policy names style and script by their hashes, which nobody then has
//! to keep in step with the files.

/// The hash as a content security policy writes it, without its prefix.
pub(super) const fn base64_of_sha256<const N: usize>(message: &[u8; N]) -> [u8; 44] {
    base64(sha256(message))
}

const fn sha256<const N: usize>(message: &[u8; N]) -> [u8; 32] {
    let mut state: [u32; 8] =
        [0x6a09_e667, 0xbb67_ae85, 0x3c6e_f372, 0xa54f_f53a, 0x510e_527f, 0x9b05_688c, 0x1f83_d9ab, 0x5be0_cd19];
    // The message, a one bit, zeros, and the length in bits in the last eight bytes of a block.
    let blocks = (N + 9).div_ceil(64);
    let mut block = 0;
    while block < blocks {
        let mut words = [0; 64];
        let mut at = 0;
        while at < 64 {
            let byte = padded(message, block * 64 + at, blocks * 64);
            words[at / 4] |= (byte as u32) << (24 - 8 * (at % 4));
            at += 1;
        }
        state = compress(state, words);
        block += 1;
    }
    let mut hash = [0; 32];
    let mut at = 0;
    while at < 32 {
        hash[at] = state[at / 4].to_be_bytes()[at % 4];
        at += 1;
    }
    hash
}

const fn padded<const N: usize>(message: &[u8; N], at: usize, end: usize) -> u8 {
    if at < N {
        message[at]
    } else if at == N {
        0x80
    } else if at + 8 >= end {
        (8 * N as u64).to_be_bytes()[at + 8 - end]
    } else {
        0
    }
}

const fn compress(state: [u32; 8], mut words: [u32; 64]) -> [u32; 8] {
    let [mut a, mut b, mut c, mut d, mut e, mut f, mut g, mut h] = state;
    let mut t = 0;
    while t < 64 {
        if t >= 16 {
            let (w15, w2) = (words[t - 15], words[t - 2]);
            let s0 = w15.rotate_right(7) ^ w15.rotate_right(18) ^ (w15 >> 3);
            let s1 = w2.rotate_right(17) ^ w2.rotate_right(19) ^ (w2 >> 10);
            words[t] = words[t - 16].wrapping_add(s0).wrapping_add(words[t - 7]).wrapping_add(s1);
        }
        let s1 = e.rotate_right(6) ^ e.rotate_right(11) ^ e.rotate_right(25);
        let choice = (e & f) ^ (!e & g);
        let t1 = h.wrapping_add(s1).wrapping_add(choice).wrapping_add(K[t]).wrapping_add(words[t]);
        let s0 = a.rotate_right(2) ^ a.rotate_right(13) ^ a.rotate_right(22);
        let majority = (a & b) ^ (a & c) ^ (b & c);
        (h, g, f, e) = (g, f, e, d.wrapping_add(t1));
        (d, c, b, a) = (c, b, a, t1.wrapping_add(s0).wrapping_add(majority));
        t += 1;
    }
    let (mut sum, mut at) = (state, 0);
    let after = [a, b, c, d, e, f, g, h];
    while at < 8 {
        sum[at] = sum[at].wrapping_add(after[at]);
        at += 1;
    }
    sum
}

const fn base64(bytes: [u8; 32]) -> [u8; 44] {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = [b'='; 44];
    let mut at = 0;
    // 256 bits are 43 digits of six bits, the last of which has two zeros.
    while at < 43 {
        let (byte, shift) = (at * 6 / 8, at * 6 % 8);
        let next = if byte + 1 < 32 { bytes[byte + 1] } else { 0 };
        let pair = ((bytes[byte] as u16) << 8) | next as u16;
        text[at] = DIGITS[((pair >> (10 - shift)) & 63) as usize];
        at += 1;
    }
    text
}

/// The first 32 bits of the fractional parts of the cube roots of the first 64 primes.
#[rustfmt::skip]
const K: [u32; 64] = [
    0x428a2f98, 0x71374491, 0xb5c0fbcf, 0xe9b5dba5, 0x3956c25b, 0x59f111f1, 0x923f82a4, 0xab1c5ed5,
    0xd807aa98, 0x12835b01, 0x243185be, 0x550c7dc3, 0x72be5d74, 0x80deb1fe, 0x9bdc06a7, 0xc19bf174,
    0xe49b69c1, 0xefbe4786, 0x0fc19dc6, 0x240ca1cc, 0x2de92c6f, 0x4a7484aa, 0x5cb0a9dc, 0x76f988da,
    0x983e5152, 0xa831c66d, 0xb00327c8, 0xbf597fc7, 0xc6e00bf3, 0xd5a79147, 0x06ca6351, 0x14292967,
    0x27b70a85, 0x2e1b2138, 0x4d2c6dfc, 0x53380d13, 0x650a7354, 0x766a0abb, 0x81c2c92e, 0x92722c85,
    0xa2bfe8a1, 0xa81a664b, 0xc24b8b70, 0xc76c51a3, 0xd192e819, 0xd6990624, 0xf40e3585, 0x106aa070,
    0x19a4c116, 0x1e376c08, 0x2748774c, 0x34b0bcb5, 0x391c0cb3, 0x4ed8aa4a, 0x5b9cca4f, 0x682e6ff3,
    0x748f82ee, 0x78a5636f, 0x84c87814, 0x8cc70208, 0x90befffa, 0xa4506ceb, 0xbef9a3f7, 0xc67178f2,
];

#[cfg(test)]
mod tests {
    use super::*;

    /// Known answers: FIPS 180-4's examples, and `openssl dgst -sha256 -binary | base64` for the lengths around a block.
    #[test]
    fn it_gives_the_known_answers() {
        let of = |hash: [u8; 44]| String::from_utf8(hash.to_vec()).unwrap();
        assert_eq!(of(base64_of_sha256(b"")), "47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=");
        assert_eq!(of(base64_of_sha256(b"abc")), "ungWv48Bz+pBQUDeXa4iI7ADYaOWF3qctBD/YfIAFa0=");
        assert_eq!(of(base64_of_sha256(&[b'a'; 55])), "n0OQ+NMMLdkuyfCVtl4rmumwqSWlJY4kHJ8ekQ9zQxg=");
        assert_eq!(of(base64_of_sha256(&[b'a'; 56])), "s1Q5pKxvCUi21vnjxq8PX1kM4g8b3nCQ73lwaG7Gc4o=");
        assert_eq!(of(base64_of_sha256(&[b'a'; 64])), "/+BU/nrgy23GXDr5th1SCfQ5hR20PQulmXM33xVGaOs=");
        assert_eq!(of(base64_of_sha256(&[b'a'; 1000])), "Qe3s5C1j6Nm/UVqbppMuHCDLyfWl0TRkWttdsblzfqM=");
    }
}
