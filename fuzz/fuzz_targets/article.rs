//! Whatever the octets: an article is indexed or refused, and an index lies within its article.
#![no_main]

use feedd::article::{Field, Head, NewsgroupName, Octets, date, newsgroup, overview};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|article: &[u8]| {
    let counts = Octets::count(article);
    assert_eq!(counts.nul, article.contains(&0));
    assert_eq!(counts.lines, article.iter().filter(|&&octet| octet == b'\n').count() as u64);

    let Ok(head) = Head::parse(article) else { return };
    assert!(article[..head.len()].ends_with(b"\r\n"));
    for (name, value) in head.iter() {
        if let Some(field) = Field::from_name(name) {
            // Unique, so this is the one.
            assert_eq!(head.value(field), Some(value));
            let whole = &article[head.span(field).expect("it is there")];
            assert!(whole.starts_with(name) && whole.ends_with(b"\r\n"));
        }
    }
    let mut row = Vec::new();
    overview::row(&head, &mut row);
    assert_eq!(row.iter().filter(|&&octet| octet == b'\t').count(), 4);
    assert!(!row.iter().any(|octet| matches!(octet, b'\r' | b'\n' | 0)));

    if let Some(at) = head.value(Field::Date).and_then(date::parse) {
        // Years beyond four digits come from a zone at the very end of time only.
        let again = date::parse(date::format(at).as_bytes());
        assert!(
            again == Some(at) || date::digits(at) == "99991231235959" || date::digits(at).starts_with("1899")
        );
    }
    for name in newsgroup::names(head.value(Field::Newsgroups).unwrap_or_default()) {
        assert_eq!(NewsgroupName::try_from(name).is_ok(), NewsgroupName::check(name).is_ok());
    }
});
