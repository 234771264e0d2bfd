//! Decimals as Kafka Connect sends them: an unscaled integer in two's complement, big-endian, and a scale.

use std::fmt::Write as _;

/// Most digits before the point of a PostgreSQL `numeric`, and more than it has behind it.
const MOST_DIGITS: usize = 131_072;

/// The decimal's text with as many digits behind the point as the scale says. `None` where no `numeric` is that long.
pub fn text(unscaled: &[u8], scale: i64) -> Option<String> {
    let shift = usize::try_from(scale.unsigned_abs())
        .ok()
        .filter(|n| *n <= MOST_DIGITS)?;
    // 0.4152 bytes a digit.
    if unscaled.len() > MOST_DIGITS / 2 {
        return None;
    }
    let negative = unscaled.first().is_some_and(|b| b & 0x80 != 0);
    let mut digits = magnitude(unscaled, negative);
    if scale < 0 && digits != "0" {
        digits.extend(std::iter::repeat_n('0', shift));
    }
    if scale > 0 {
        if digits.len() <= shift {
            digits.insert_str(0, &"0".repeat(shift + 1 - digits.len()));
        }
        digits.insert(digits.len() - shift, '.');
    }
    if negative {
        digits.insert(0, '-');
    }
    Some(digits)
}

/// The digits of the absolute value.
fn magnitude(bytes: &[u8], negative: bool) -> String {
    if bytes.len() <= 16 {
        let fill = if negative { 0xff } else { 0 };
        let mut wide = [fill; 16];
        wide[16 - bytes.len()..].copy_from_slice(bytes);
        return i128::from_be_bytes(wide).unsigned_abs().to_string();
    }
    // Limbs of nine decimal digits, least significant first: value = value * 256 + byte, byte by byte.
    let mut limbs: Vec<u64> = vec![0];
    let mut add = |factor: u64, mut carry: u64| {
        for limb in &mut limbs {
            let n = *limb * factor + carry;
            *limb = n % 1_000_000_000;
            carry = n / 1_000_000_000;
        }
        if carry > 0 {
            limbs.push(carry);
        }
    };
    for byte in bytes {
        // Of a negative number the complement is built here; one is added below.
        add(256, u64::from(if negative { !byte } else { *byte }));
    }
    if negative {
        add(1, 1);
    }
    let mut limbs = limbs.iter().rev().skip_while(|l| **l == 0);
    let mut text = limbs.next().map_or_else(|| "0".to_owned(), u64::to_string);
    for limb in limbs {
        let _ = write!(text, "{limb:09}");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn two_complement_of_any_length() {
        for (bytes, scale, wanted) in [
            (&[][..], 0, "0"),
            (&[0], 2, "0.00"),
            (&[0x7b], 2, "1.23"),
            (&[0xff], 0, "-1"),
            (&[0x80], 3, "-0.128"),
            (&[0x00, 0x80], 0, "128"),
            (&[0x0f], -3, "15000"),
            (&[0], -3, "0"),
            (
                &[
                    1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0,
                ],
                0,
                "6277101735386680763835789423207666416102355444464034512896",
            ),
            (
                &[
                    0xff, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0,
                ],
                5,
                "-62771017353866807638357894232076664161023554444640345.12896",
            ),
        ] {
            assert_eq!(text(bytes, scale).as_deref(), Some(wanted), "{bytes:?} {scale}");
        }
        assert_eq!(text(&[1], i64::MAX), None);
        assert_eq!(text(&[1], i64::MIN), None);
    }

    proptest! {
        #[test]
        fn long_and_short_ways_agree(n: i128, pad in 1usize..20) {
            let mut long = vec![if n < 0 { 0xff } else { 0 }; pad];
            long.extend_from_slice(&n.to_be_bytes());
            prop_assert_eq!(text(&long, 0), Some(n.to_string()));
            prop_assert_eq!(text(&n.to_be_bytes(), 0), Some(n.to_string()));
        }
    }
}
