//! Numbers as people read them.

/// Digits in groups of three: `12,345`.
pub(super) fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && digits.len().saturating_sub(index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// The first three digits and the order of magnitude, `12.3k`; what follows them is left away, not rounded.
pub(super) fn short(number: u64) -> String {
    let digits = number.to_string();
    let groups = digits.len().saturating_sub(1) / 3;
    let Some(unit) = groups.checked_sub(1).and_then(|index| "kMGTPE".chars().nth(index)) else {
        return digits;
    };
    let whole = digits.len().saturating_sub(groups.saturating_mul(3));
    let part = |from, to| digits.get(from..to).unwrap_or_default();
    let point = if whole < 3 { "." } else { "" };
    format!("{}{point}{}{unit}", part(0, whole), part(whole, 3))
}

/// Tenths of a per cent, not rounded: 1000 only if all of it is there, and no more where LLVM counts more (MC/DC of
/// conditions that the compiler knew). `None` of nothing.
pub(super) fn per_mille(covered: u64, total: u64) -> Option<u64> {
    let tenths = u128::from(covered).saturating_mul(1000).checked_div(u128::from(total))?;
    u64::try_from(tenths.min(1000)).ok()
}

/// `66.6 %`; a dash for a share of nothing.
pub(super) fn percent(covered: u64, total: u64) -> String {
    match per_mille(covered, total) {
        Some(tenths) => format!("{}.{} %", tenths / 10, tenths % 10),
        None => "–".to_owned(),
    }
}

/// A number and what it is a number of.
pub(super) fn counted(number: usize, one: &str, many: &str) -> String {
    format!("{number} {}", if number == 1 { one } else { many })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn large_counts_become_short() {
        for (number, brief, long) in [
            (0, "0", "0"),
            (999, "999", "999"),
            (1000, "1.00k", "1,000"),
            (12_345, "12.3k", "12,345"),
            (999_999, "999k", "999,999"),
            (1_000_000, "1.00M", "1,000,000"),
            (u64::MAX, "18.4E", "18,446,744,073,709,551,615"),
        ] {
            assert_eq!((short(number).as_str(), grouped(number).as_str()), (brief, long));
        }
    }

    #[test]
    fn nearly_all_is_not_all() {
        assert_eq!(percent(99_999, 100_000), "99.9 %");
        assert_eq!(percent(u64::MAX, u64::MAX), "100.0 %");
        assert_eq!(percent(2, 3), "66.6 %");
        assert_eq!(percent(3, 2), "100.0 %");
        assert_eq!(percent(0, 0), "–");
    }
}
