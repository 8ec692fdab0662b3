//! Articles (RFC 5536): header fields, Message-IDs, newsgroup names, Path, dates, overview rows.
//! Articles are handled in wire form: CRLF line ends, dot-stuffed, terminator included, so that
//! what was received is what is stored and what is served.

pub mod date;
pub mod encoded_word;
pub mod header;
pub mod kind;
pub mod message_id;
pub mod newsgroup;
pub mod octets;
pub mod overview;
pub mod path;

pub use header::{Field, Head, HeadError};
pub use kind::ArticleKind;
pub use message_id::MessageId;
pub use newsgroup::NewsgroupName;
pub use octets::Octets;
pub use path::{Diagnostic, PathIdentity};
