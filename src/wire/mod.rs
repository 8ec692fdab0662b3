//! The grammar of NNTP (RFC 3977 s.9, RFC 4644 s.3): lines, commands, responses, data blocks,
//! ranges, capabilities. Bytes in, types out: no state, no socket, and no knowledge of articles.

mod arguments;
pub mod block;
pub mod capability;
pub mod command;
mod list_file;
pub mod range;
pub mod response;

pub use arguments::is_message_id;
pub use block::{TERMINATOR, find_block_end};
pub use command::{
    ArticleSpec, Authinfo, Command, CommandError, ListCommand, Part, RangeSpec, Secret, SyncCommand,
};
pub use list_file::{ListFile, ListFiles};
pub use range::Range;
pub use response::Code;
