//! Articles that differ as people's do: what compression gains is measured on them, and the same line
//! over and over would pack eighty times.

use crate::support::articles::{LOAD_IDENTITY, date_now};

/// The commonest words first: each word of the text is the sooner chosen the earlier it stands.
pub const WORDS: &str = "the of and to a in that is was he for it with as his on be at by had not are but from or \
    have an they which one you were all her she there would their we him been has when who will no more if out \
    so up said what its about than into them can only other time new some could these two may first then do any \
    like my now over such our man me even most made after also did many off before must well back through years \
    where much your way down should because long each just state those people how too little good world make \
    very year still see own work men day get here old life both between being under three never know same last \
    another while us might great go come since against right came take used himself few house use during without \
    again place around however home small found thought went say part once general high upon school every does \
    got united left number course war until always away something fact water though less public put think almost \
    hand enough far took head yet government system set better told nothing night end called find going look \
    asked later point knew next program city business give group toward days young let room president side social \
    present given several order national second face per rather often things large early four within power";

/// A relayed article like `articles::relayed`, in words of chance that `number` chooses.
pub fn article(message_id: &str, newsgroup: &str, number: u64, size: usize) -> Vec<u8> {
    let words: Vec<&str> = WORDS.split_whitespace().collect();
    let mut state = number.wrapping_add(1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    let mut word = || {
        // xorshift64; of two chances the smaller one.
        let mut roll = || {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            (state >> 20) as usize % words.len()
        };
        words[roll().min(roll())]
    };
    let (name, host) = (word(), word());
    let subject: Vec<&str> = (0..5).map(|_| word()).collect();
    let mut text = format!(
        "Path: {LOAD_IDENTITY}!.POSTED!not-for-mail\r\n\
         From: {name} <{name}@{host}.example>\r\n\
         Newsgroups: {newsgroup}\r\n\
         Subject: {}\r\n\
         Date: {}\r\n\
         Message-ID: {message_id}\r\n\r\n",
        subject.join(" "),
        date_now()
    );
    let mut column = 0;
    while text.len() < size - 80 || column > 0 {
        let next = word();
        text.push_str(next);
        column += next.len() + 1;
        if column > 65 {
            column = 0;
            text.push_str("\r\n");
        } else {
            text.push(' ');
        }
    }
    text.push_str(".\r\n");
    text.into_bytes()
}
