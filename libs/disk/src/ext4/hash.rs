//! The hash by which names are found in indexed directories: "half MD4", 24 of the 48 steps of RFC 1320, with a seed (kernel
//! `Documentation/filesystems/ext4/directory.rst`, "Hash Tree Directories").
/// Words that one step of the hash takes in.
const WORDS: usize = 8;
/// The largest hash stands for the end of a directory.
const END: u32 = 0xffff_fffe;

type State = [u32; 4];

/// Mixes three words.
type Mix = fn(u32, u32, u32) -> u32;

/// The three rounds: function, constant, order of the words, rotations.
const ROUNDS: [(Mix, u32, [usize; WORDS], [u32; 4]); 3] = [
    (|x, y, z| z ^ x & (y ^ z), 0, [0, 1, 2, 3, 4, 5, 6, 7], [3, 7, 11, 19]),
    (|x, y, z| (x & y).wrapping_add((x ^ y) & z), 0x5a82_7999, [1, 3, 5, 7, 0, 2, 4, 6], [3, 5, 9, 13]),
    (|x, y, z| x ^ y ^ z, 0x6ed9_eba1, [3, 7, 2, 6, 1, 5, 0, 4], [3, 9, 11, 15]),
];

/// The hash of a name, its bytes taken as unsigned. Bit 0 is always clear.
pub(super) fn half_md4(seed: &[u8; 16], name: &[u8]) -> u32 {
    let mut state: State = std::array::from_fn(|at| crate::bytes::get32(seed, 4 * at));
    if state == [0; 4] {
        state = [0x6745_2301, 0xefcd_ab89, 0x98ba_dcfe, 0x1032_5476];
    }
    let mut rest = name;
    while !rest.is_empty() {
        transform(&mut state, &words(rest));
        rest = rest.get(4 * WORDS..).unwrap_or_default();
    }
    match state[1] & !1 {
        END => END - 2,
        hash => hash,
    }
}

/// The next 32 bytes as big-endian words; what is missing is filled with the length of what is left.
fn words(rest: &[u8]) -> [u32; WORDS] {
    let length = rest.len() as u32;
    let pad = (length | length << 8).wrapping_mul(0x0001_0001);
    std::array::from_fn(|word| {
        let start = (4 * word).min(rest.len());
        let bytes = &rest[start..(start + 4).min(rest.len())];
        bytes.iter().fold(pad, |value, &byte| value << 8 | u32::from(byte))
    })
}

fn transform(state: &mut State, words: &[u32; WORDS]) {
    let mut s = *state;
    for (mix, constant, order, rotations) in ROUNDS {
        for (step, &word) in order.iter().enumerate() {
            // Each step changes one of the four words, from the first one backwards.
            let at = (4 - step % 4) % 4;
            let mixed = mix(s[(at + 1) % 4], s[(at + 2) % 4], s[(at + 3) % 4]);
            let sum = s[at].wrapping_add(mixed).wrapping_add(words[word]).wrapping_add(constant);
            s[at] = sum.rotate_left(rotations[step % 4]);
        }
    }
    for (total, part) in state.iter_mut().zip(s) {
        *total = total.wrapping_add(part);
    }
}

#[cfg(test)]
mod tests {
    use super::half_md4;

    /// What `debugfs -R "dx_hash -h half_md4 -s SEED NAME"` answers.
    #[test]
    fn hashes_are_those_of_debugfs() {
        let seed =
            [0x11, 0x22, 0x33, 0x44, 0x55, 0x66, 0x77, 0x88, 0x99, 0xaa, 0xbb, 0xcc, 0xdd, 0xee, 0xff, 0];
        let long = "n".repeat(77);
        let known: [(&[u8; 16], &str, u32); 3] =
            [(&[0; 16], "hello", 0x1746_da32), (&seed, "hello", 0x6a6d_483e), (&seed, &long, 0x8723_2d82)];
        for (seed, name, hash) in known {
            assert_eq!(half_md4(seed, name.as_bytes()), hash, "{name}");
        }
    }
}
