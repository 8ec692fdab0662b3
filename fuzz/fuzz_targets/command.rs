//! Any line is answered, outer blanks change nothing, and what is parsed keeps its promises.
#![no_main]

use feedd::wire::{ArticleSpec, Command, CommandError, RangeSpec, is_message_id};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|line: &[u8]| {
    let parsed = Command::parse(line);
    let padded = [line, b" \t"].concat();
    // Years of two digits depend on the clock, but not within this instant.
    assert_eq!(Command::parse(&padded), parsed);
    match parsed {
        Ok(
            Command::Check(id)
            | Command::TakeThis(id)
            | Command::Ihave(id)
            | Command::Article(_, ArticleSpec::Id(id))
            | Command::Over(RangeSpec::Id(id))
            | Command::Hdr { spec: RangeSpec::Id(id), .. }
            | Command::Xhdr { spec: RangeSpec::Id(id), .. },
        ) => assert!(is_message_id(id.as_bytes())),
        Err(CommandError::Syntax(usage)) => assert!(!usage.is_empty()),
        _ => {}
    }
});
