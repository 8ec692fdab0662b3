//! Streams of requests, made beforehand; what differs from one to the next is patched in place.

use std::collections::VecDeque;
use std::ops::Range;

use crate::load::Requests;
use crate::support::articles::message_id;

/// Digits of the number in a Message-ID made by `articles::message_id`.
const DIGITS: usize = 10;

/// The same requests over and over, each with a Message-ID of its own, counted up.
pub struct Numbered {
    bytes: Vec<u8>,
    /// Where the digits of a Message-ID stand; `per_request` of them belong to one request.
    places: Vec<usize>,
    per_request: usize,
    next: u64,
    numbers: Range<u64>,
}

impl Numbered {
    /// `request` makes one request for a Message-ID; a piece holds `pieces` of them. Numbers run
    /// through `numbers` and begin again at its end.
    pub fn new(run: &str, numbers: Range<u64>, pieces: usize, request: impl Fn(&str) -> Vec<u8>) -> Self {
        let id = message_id(run, 0);
        let one = request(&id);
        let digits_at = id.find(&format!("{:010}", 0)).unwrap_or(0);
        let within: Vec<usize> =
            memchr::memmem::find_iter(&one, id.as_bytes()).map(|at| at + digits_at).collect();
        let mut bytes = Vec::with_capacity(one.len() * pieces);
        let mut places = Vec::new();
        for _ in 0..pieces {
            places.extend(within.iter().map(|at| bytes.len() + at));
            bytes.extend_from_slice(&one);
        }
        Self { bytes, places, per_request: within.len(), next: numbers.start, numbers }
    }
}

impl Requests for Numbered {
    fn next(&mut self, _: &mut VecDeque<usize>) -> usize {
        for places in self.places.chunks(self.per_request) {
            if self.next == self.numbers.end {
                self.next = self.numbers.start;
            }
            let mut digits = [b'0'; DIGITS];
            let mut rest = self.next;
            for digit in digits.iter_mut().rev() {
                *digit = b'0' + (rest % 10) as u8;
                rest /= 10;
            }
            for at in places {
                self.bytes[*at..*at + DIGITS].copy_from_slice(&digits);
            }
            self.next += 1;
        }
        self.places.len() / self.per_request
    }

    fn bytes(&self) -> &[u8] {
        &self.bytes
    }
}

/// A request and the length of its reply.
#[derive(Debug, Clone)]
pub struct Known {
    pub request: Vec<u8>,
    pub reply_len: usize,
}

/// Known requests in an order of chance, `pieces` at a time.
pub struct Shuffled {
    known: std::sync::Arc<Vec<Known>>,
    pieces: usize,
    bytes: Vec<u8>,
    state: u64,
}

impl Shuffled {
    pub fn new(known: std::sync::Arc<Vec<Known>>, pieces: usize, seed: u64) -> Self {
        Self { known, pieces, bytes: Vec::new(), state: seed.wrapping_mul(2).wrapping_add(1) }
    }

    fn roll(&mut self) -> usize {
        // xorshift64: chance enough to defeat read-ahead and caches of the last article.
        self.state ^= self.state << 13;
        self.state ^= self.state >> 7;
        self.state ^= self.state << 17;
        (self.state % self.known.len() as u64) as usize
    }
}

impl Requests for Shuffled {
    fn next(&mut self, lengths: &mut VecDeque<usize>) -> usize {
        self.bytes.clear();
        for _ in 0..self.pieces {
            let which = self.roll();
            let known = &self.known[which];
            self.bytes.extend_from_slice(&known.request);
            lengths.push_back(known.reply_len);
        }
        self.pieces
    }

    fn bytes(&self) -> &[u8] {
        &self.bytes
    }
}

/// POST, then the article once it is asked for, in turns.
pub struct Posting {
    article: Vec<u8>,
    article_is_next: bool,
}

impl Posting {
    pub fn new(article: Vec<u8>) -> Self {
        Self { article, article_is_next: true }
    }
}

impl Requests for Posting {
    fn next(&mut self, _: &mut VecDeque<usize>) -> usize {
        self.article_is_next = !self.article_is_next;
        1
    }

    fn bytes(&self) -> &[u8] {
        if self.article_is_next { &self.article } else { b"POST\r\n" }
    }
}
