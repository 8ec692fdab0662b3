//! Response codes (RFC 3977 s.3.2, appendix C; RFC 4644 s.4) and response lines as a client reads them.

use std::fmt;

/// A three-digit response code.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Code(pub u16);

/// One response line, as a client reads it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Response<'a> {
    /// The three digits.
    pub code: Code,
    /// What follows the code and one space, without CRLF; may be empty.
    pub text: &'a str,
}

impl<'a> Response<'a> {
    /// Parses one line (with or without its CRLF); none when it does not begin with three digits
    /// that stand alone. Octets that are not UTF-8 end the text there.
    pub fn parse(line: &'a [u8]) -> Option<Self> {
        let line = line.strip_suffix(b"\n").unwrap_or(line);
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        let (digits, text) = line.split_first_chunk::<3>()?;
        let text = match text {
            [] => text,
            [b' ' | b'\t', text @ ..] => text,
            _ => return None,
        };
        let mut code = 0;
        for digit in digits {
            if !digit.is_ascii_digit() {
                return None;
            }
            code = code * 10 + u16::from(digit - b'0');
        }
        let text = text.utf8_chunks().next().map_or("", |chunk| chunk.valid());
        Some(Self { code: Code(code), text })
    }

    /// The first word of the text: the Message-ID of a 238, 239, 431, 438 or 439.
    pub fn argument(&self) -> Option<&'a str> {
        self.text.split_ascii_whitespace().next()
    }
}

impl fmt::Display for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:03}", self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn response_lines() {
        let table: [(&[u8], u16, &str, Option<&str>); 8] = [
            (b"238 <a@b>\r\n", 238, "<a@b>", Some("<a@b>")),
            (b"438 <a@b> already have it", 438, "<a@b> already have it", Some("<a@b>")),
            (b"205\r\n", 205, "", None),
            (b"205 \r\n", 205, "", None),
            (b"200  two blanks\n", 200, " two blanks", Some("two")),
            (b"211 1 2 3 misc.test", 211, "1 2 3 misc.test", Some("1")),
            (b"400 gr\xFC\xDFe", 400, "gr", Some("gr")),
            ("400 grüße".as_bytes(), 400, "grüße", Some("grüße")),
        ];
        for (line, code, text, argument) in table {
            let response = Response::parse(line);
            assert_eq!(response, Some(Response { code: Code(code), text }));
            assert_eq!(response.and_then(|r| r.argument()), argument);
        }
    }

    #[test]
    fn lines_that_are_no_response() {
        for line in
            [&b""[..], b"\r\n", b"20", b"2x0 hi", b" 200 hi", b"2000 hi", b"200-hi", b"ok", b"\xFF\xFF\xFF"]
        {
            assert_eq!(Response::parse(line), None);
        }
    }
}
