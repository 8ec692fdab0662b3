//! Sizes as an operator writes them: `512`, `64 KiB`, `10 MiB`, `1 GiB`, `10 MB`.

/// Units, largest first, so that [`print`] finds the largest that divides.
const UNITS: [(&str, u64); 7] = [
    ("GiB", 1 << 30),
    ("GB", 1_000_000_000),
    ("MiB", 1 << 20),
    ("MB", 1_000_000),
    ("KiB", 1 << 10),
    ("kB", 1_000),
    ("B", 1),
];

/// The octets of `text`; none when it is no size. Units are matched whatever their case.
pub fn parse(text: &str) -> Option<u64> {
    let text = text.trim();
    let digits_end = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (digits, unit) = text.split_at(digits_end);
    let number: u64 = digits.parse().ok()?;
    let unit = unit.trim_start();
    if unit.is_empty() {
        return Some(number);
    }
    let (_, octets) = UNITS.iter().find(|(name, _)| name.eq_ignore_ascii_case(unit))?;
    number.checked_mul(*octets)
}

/// `octets` with the largest binary unit that divides them.
pub(super) fn print(octets: u64) -> String {
    let (unit, size) = UNITS
        .iter()
        .find(|(_, size)| size.is_power_of_two() && octets >= *size && octets.is_multiple_of(*size))
        .unwrap_or(&("B", 1));
    format!("{} {unit}", octets / size)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_sizes() {
        for (text, octets) in [
            ("0", Some(0)),
            ("512", Some(512)),
            ("64 KiB", Some(65_536)),
            ("64kib", Some(65_536)),
            ("10 MB", Some(10_000_000)),
            (" 1 GiB ", Some(1 << 30)),
            ("7 B", Some(7)),
            ("", None),
            ("MiB", None),
            ("1.5 MiB", None),
            ("-1", None),
            ("10 XB", None),
            ("99999999999 GiB", None),
        ] {
            assert_eq!(parse(text), octets, "{text:?}");
        }
    }

    #[test]
    fn prints_what_it_reads() {
        for octets in [0, 1, 1023, 1024, 10_551_296, 1 << 30, 10_000_000] {
            assert_eq!(parse(&print(octets)), Some(octets));
        }
        assert_eq!(print(10_551_296), "10304 KiB");
    }
}
