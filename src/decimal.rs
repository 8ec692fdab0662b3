//! Decimal numbers as octets: rows, replies and records are full of them, and `format!` is not free.

/// Appends `number` in decimal.
pub fn push(mut number: u64, out: &mut Vec<u8>) {
    let mut digits = [0u8; 20];
    let mut at = digits.len();
    loop {
        at -= 1;
        digits[at] = b'0' + (number % 10) as u8;
        number /= 10;
        if number == 0 {
            break;
        }
    }
    out.extend_from_slice(&digits[at..]);
}

#[cfg(test)]
mod tests {
    #[test]
    fn every_length() {
        for number in [0, 7, 10, 99, 100, 65_536, u64::MAX] {
            let mut out = b"x".to_vec();
            super::push(number, &mut out);
            assert_eq!(out, format!("x{number}").into_bytes());
        }
    }
}
