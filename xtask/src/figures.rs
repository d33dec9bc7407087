//! Medians, and figures as people read them.

use std::time::Duration;

/// The median; of an even number the mean of the middle two. `None` of nothing.
pub(crate) fn median(values: impl IntoIterator<Item = f64>) -> Option<f64> {
    let mut sorted: Vec<f64> = values.into_iter().collect();
    sorted.sort_by(f64::total_cmp);
    let middle = sorted.len() / 2;
    let upper = *sorted.get(middle)?;
    if sorted.len() % 2 == 1 {
        return Some(upper);
    }
    Some(f64::midpoint(*sorted.get(middle.checked_sub(1)?)?, upper))
}

/// The values below which a quarter, a half and three quarters lie. `None` of nothing.
pub(crate) fn quartiles(values: &[f64]) -> Option<[f64; 3]> {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let last = sorted.len().checked_sub(1)?;
    Some([*sorted.get(last / 4)?, median(sorted.iter().copied())?, *sorted.get(last - last / 4)?])
}

/// How far the mean of these may be off, as its standard deviation. `None` of fewer than two.
pub(crate) fn standard_error(values: &[f64]) -> Option<f64> {
    // Figures are few.
    #[expect(clippy::cast_precision_loss, reason = "a number below 2^52")]
    let num = values.len() as f64;
    let mean = values.iter().sum::<f64>() / num;
    let square = values.iter().map(|value| (value - mean).powi(2)).sum::<f64>();
    (values.len() > 1).then(|| (square / (num - 1.0) / num).sqrt())
}

/// The median of the ratios `over / under`, pair by pair.
pub(crate) fn median_ratio(over: &[Duration], under: &[Duration]) -> Option<f64> {
    median(over.iter().zip(under).map(|(over, under)| over.as_secs_f64() / under.as_secs_f64()))
}

/// The median of times.
pub(crate) fn median_time(times: &[Duration]) -> Option<Duration> {
    median(times.iter().map(Duration::as_secs_f64)).map(Duration::from_secs_f64)
}

/// Three significant digits and a unit.
pub(crate) fn time(time: Duration) -> String {
    let seconds = time.as_secs_f64();
    let units = [(1.0, "s"), (1e-3, "ms"), (1e-6, "us")];
    let (scale, unit) = units.into_iter().find(|(scale, _)| seconds >= *scale).unwrap_or((1e-9, "ns"));
    format!("{} {unit}", three_digits(seconds / scale))
}

/// Bytes in a time, in units of 10^6 or 10^9 bytes per second.
pub(crate) fn rate(len_bytes: usize, time: Duration) -> String {
    // Lengths here are far below 2^52.
    #[expect(clippy::cast_precision_loss, reason = "a figure of three digits")]
    let rate = len_bytes as f64 / time.as_secs_f64();
    if rate >= 1e9 {
        format!("{} GB/s", three_digits(rate / 1e9))
    } else {
        format!("{} MB/s", three_digits(rate / 1e6))
    }
}

/// A power of two of bytes.
pub(crate) fn size(len_bytes: usize) -> String {
    if len_bytes >= 1 << 20 { format!("{} MiB", len_bytes >> 20) } else { format!("{} KiB", len_bytes >> 10) }
}

/// A number with three significant digits; whole from 100 on.
pub(crate) fn three_digits(value: f64) -> String {
    let decimals = if value >= 100.0 {
        0
    } else if value >= 10.0 {
        1
    } else {
        2
    };
    format!("{value:.decimals$}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn medians() {
        assert_eq!(median([3.0, 1.0, 2.0]), Some(2.0));
        assert_eq!(median([4.0, 1.0, 2.0, 3.0]), Some(2.5));
        assert_eq!(median([]), None);
        assert_eq!(standard_error(&[1.0, 3.0]), Some(1.0));
        assert_eq!(standard_error(&[1.0]), None);
        assert_eq!(quartiles(&[5.0, 1.0, 2.0, 4.0, 3.0]), Some([2.0, 3.0, 4.0]));
        assert_eq!(quartiles(&[7.0]), Some([7.0; 3]));
        assert_eq!(quartiles(&[]), None);
        let ms = Duration::from_millis;
        assert_eq!(median_ratio(&[ms(10), ms(40), ms(9)], &[ms(5), ms(10), ms(9)]), Some(2.0));
        assert_eq!(median_time(&[ms(10), ms(40), ms(9)]), Some(ms(10)));
    }

    #[test]
    fn figures_have_units() {
        assert_eq!(time(Duration::from_nanos(95)), "95.0 ns");
        assert_eq!(time(Duration::from_nanos(3210)), "3.21 us");
        assert_eq!(time(Duration::from_millis(1200)), "1.20 s");
        assert_eq!(rate(1 << 20, Duration::from_millis(1)), "1.05 GB/s");
        assert_eq!(rate(4096, Duration::from_millis(1)), "4.10 MB/s");
        assert_eq!(size(4096), "4 KiB");
        assert_eq!(size(16 << 20), "16 MiB");
    }
}
