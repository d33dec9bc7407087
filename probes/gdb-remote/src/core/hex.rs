//! Hexadecimal, as most packets carry numbers and memory: two digits a byte, upper or lower case.

/// No digit.
const NONE: u8 = 0xff;

const DIGITS: &[u8; 16] = b"0123456789abcdef";

const VALUES: [u8; 256] = values();

#[expect(clippy::indexing_slicing, reason = "evaluated at compile time, where a bad index does not build")]
#[expect(clippy::cast_possible_truncation, reason = "no digit is above 15")]
const fn values() -> [u8; 256] {
    let mut table = [NONE; 256];
    let mut value = 0;
    while value < DIGITS.len() {
        table[DIGITS[value] as usize] = value as u8;
        table[DIGITS[value].to_ascii_uppercase() as usize] = value as u8;
        value += 1;
    }
    table
}

fn value(digit: u8) -> u8 {
    VALUES.get(usize::from(digit)).copied().unwrap_or(NONE)
}

/// The value of one hexadecimal digit.
pub(crate) fn digit(byte: u8) -> Option<u8> {
    Some(value(byte)).filter(|value| *value != NONE)
}

/// Appends two digits for every byte.
pub(crate) fn encode_into(out: &mut Vec<u8>, bytes: &[u8]) {
    out.reserve(bytes.len().saturating_mul(2));
    for byte in bytes {
        for nibble in [byte >> 4, byte & 15] {
            out.extend(DIGITS.get(usize::from(nibble)));
        }
    }
}

/// Two digits for every byte, as text.
#[cfg(test)]
pub(crate) fn encode(bytes: &[u8]) -> String {
    let mut out = Vec::new();
    encode_into(&mut out, bytes);
    out.into_iter().map(char::from).collect()
}

/// Writes the bytes that `text` stands for to the start of `out`, and gives their number; `None` if `text`
/// is not whole bytes of hexadecimal or does not fit.
pub(crate) fn decode_into(text: &[u8], out: &mut [u8]) -> Option<usize> {
    let (pairs, rest) = text.as_chunks::<2>();
    let out = out.get_mut(..pairs.len())?;
    if !rest.is_empty() {
        return None;
    }
    let mut bad = 0;
    for ([high, low], byte) in pairs.iter().zip(out) {
        let (high, low) = (value(*high), value(*low));
        bad |= high | low;
        *byte = high << 4 | low & 15;
    }
    (bad <= 15).then_some(pairs.len())
}

/// The bytes that `text` stands for.
pub(crate) fn decode(text: &[u8]) -> Option<Vec<u8>> {
    let mut out = vec![0; text.len() / 2];
    decode_into(text, &mut out).map(|_| out)
}

/// A number written with the most significant digit first, of at most 64 bits.
pub(crate) fn number(text: &[u8]) -> Option<u64> {
    if text.is_empty() {
        return None;
    }
    text.iter().try_fold(0u64, |sum, byte| {
        let digit = digit(*byte)?;
        (sum >> 60 == 0).then_some(sum << 4 | u64::from(digit))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_survive_a_round_trip() {
        let bytes: Vec<u8> = (0..=255).collect();
        assert_eq!(decode(encode(&bytes).as_bytes()).unwrap(), bytes);
        assert_eq!(decode(encode(&bytes).to_uppercase().as_bytes()).unwrap(), bytes);
    }

    #[test]
    fn what_is_not_hexadecimal_is_refused() {
        for text in ["0", "0g", "g0", "00-", " 00 "] {
            assert_eq!(decode(text.as_bytes()), None, "{text}");
        }
        assert_eq!(decode_into(b"0011", &mut [0]), None);
    }

    #[test]
    fn numbers_have_at_most_64_bits() {
        assert_eq!(number(b"ffffffffffffffff"), Some(u64::MAX));
        assert_eq!(number(b"00000000000000001"), Some(1));
        assert_eq!(number(b"10000000000000000"), None);
        assert_eq!(number(b""), None);
        assert_eq!(number(b"-1"), None);
    }
}
